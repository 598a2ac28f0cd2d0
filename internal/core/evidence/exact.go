package evidence

import "math"

// Elementary functions that give the same bits on every architecture: only IEEE 754 basic
// operations, each product rounded by an explicit conversion so that it cannot be fused into
// the following sum. They are table-driven and free of divisions (after P. T. P. Tang,
// "Table-driven implementation of the logarithm function in IEEE floating-point arithmetic", ACM
// TOMS 16, 1990, and the paper on exp before it, TOMS 15, 1989), because they are most of what an
// interval costs. Errors are a few units in the last place (see the test).

// ln 2 in two parts: ln2High has 32 significant bits, so k·ln2High is exact for the exponent k
// of any float64.
const (
	ln2High = 0x1.62e42feep-1
	ln2Low  = math.Ln2 - ln2High
)

const (
	mantissaBits = 52

	// The table of ln has 128 bins in [0.6875, 1.375). Each holds the floats whose upper bits round
	// to those of its centre, so the difference from the centre is exact, and 1 is a centre, so
	// digits are kept next to 1 too.
	lnTableBits = 7
	lnBinBits   = mantissaBits - lnTableBits
	lnFirst     = 0x3fe6 << 48 // the bits of 0.6875
	lnHalfBin   = 1 << (lnBinBits - 1)

	expTableBits = 7
	expTableSize = 1 << expTableBits
)

// lnBin is one entry of the table of ln.
type lnBin struct{ centre, inverse, ln float64 }

var (
	lnTable  = makeLnTable()
	expTable = makeExpTable()
)

func makeLnTable() (table [1 << lnTableBits]lnBin) {
	for i := range table {
		c := math.Float64frombits(lnFirst + uint64(i)<<lnBinBits)
		table[i] = lnBin{c, 1 / c, twiceAtanh((c - 1) / (c + 1))}
	}
	return table
}

// makeExpTable gives the powers 2^(j/128), by the series of e^x.
func makeExpTable() (table [expTableSize]float64) {
	for j := range table {
		x, p := float64(j)*math.Ln2/expTableSize, 1.0 //exact: rounded by the division
		for i := 22; i > 0; i-- {                     // 1 + x(1 + x/2(1 + x/3(…)))
			p = 1 + float64(x*p)/float64(i)
		}
		table[j] = p
	}
	return table
}

// twiceAtanh is 2·atanh(s) = ln((1+s)/(1-s)) for |s| ≤ 0.19.
func twiceAtanh(s float64) float64 {
	s2, tail := float64(s*s), 0.0
	for i := 31; i > 1; i -= 2 {
		tail = float64((tail + 1/float64(i)) * s2)
	}
	return float64(2*s) + float64(2*s*tail)
}

// ln is the natural logarithm of x; 0 and below give -Inf.
func ln(x float64) float64 {
	switch {
	case !(x > 0):
		return math.Inf(-1)
	case x > math.MaxFloat64:
		return x
	case x < 0x1p-1022: // not normal
		return lnCarry(x*0x1p54, 0) - 54*math.Ln2 //exact: a power of two
	}
	return lnCarry(x, 0)
}

// ln1p is ln(1+z), with all digits also for tiny z; -Inf for z ≤ -1.
func ln1p(z float64) float64 {
	u := 1 + z
	if !(u > 0) || math.IsInf(u, 1) {
		return ln(u)
	}
	return lnCarry(u, z-(u-1))
}

// lnCarry is ln(x + carry) for a normal positive x and a carry under its last digit, which counts
// only where x is next to 1.
func lnCarry(x, carry float64) float64 {
	bits := math.Float64bits(x)
	offset := bits - lnFirst + lnHalfBin
	k := int64(offset) >> mantissaBits
	bin := &lnTable[offset>>lnBinBits%(1<<lnTableBits)]
	m := math.Float64frombits(bits - uint64(k)<<mantissaBits) // in [0.6875, 1.375)
	r := m - bin.centre
	if k == 0 {
		r += carry
	}
	r = float64(r * bin.inverse) // |r| ≤ 2^-8
	r2 := float64(r * r)
	low := 1.0/3 - float64(r*0.25)
	high := 1.0/5 - float64(r*(1.0/6)) + float64(r2*(1.0/7))
	tail := float64(float64(r2*r) * (low + float64(r2*high)))
	e := float64(k)
	return float64(e*ln2High) + (bin.ln + (r + (tail - float64(r2*0.5) + float64(e*ln2Low))))
}

// exp is e^x; it underflows to 0 below -708, where the normal numbers end, and overflows to +Inf.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709:
		return math.Inf(1)
	case x < -708:
		return 0
	}
	return expNormal(x)
}

// expNormal is e^x for x from -708 to 709.
func expNormal(x float64) float64 {
	// Adding and taking away 1.5·2^52 rounds to the nearest integer, which is then in the last bits.
	const (
		toInteger = 0x1.8p52
		stepHigh  = ln2High / expTableSize
		stepLow   = ln2Low / expTableSize
	)
	shifted := float64(x*(expTableSize/math.Ln2)) + toInteger
	j := math.Float64bits(shifted)
	k := shifted - toInteger
	r := (x - float64(k*stepHigh)) - float64(k*stepLow) // |r| ≤ 0.0028
	r2 := float64(r * r)
	p := r + (float64(r2*0.5) + float64(float64(r2*r)*((1.0/6+float64(r*(1.0/24)))+float64(r2*(1.0/120)))))
	power := expTable[j%expTableSize]
	scale := math.Float64frombits(math.Float64bits(power) + j>>expTableBits<<mantissaBits)
	return scale + float64(scale*p)
}

// negligible is the ln of a part that cannot change a sum: under half a unit in the last place.
const negligible = -37.5

// logSumExp is ln Σ e^v without overflow; -Inf for no values.
func logSumExp(values []float64) float64 {
	top := math.Inf(-1)
	for _, v := range values {
		if v > top {
			top = v
		}
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, v := range values {
		if v-top > negligible {
			sum += expNormal(v - top)
		}
	}
	return top + ln(sum)
}

// stirling are the coefficients B(2k)/(2k(2k-1)) of the series of lnGamma in 1/x.
var stirling = [...]float64{
	1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360, 1.0 / 156,
}

const halfLn2Pi = 0.91893853320467274178032973640561763986139747363778

// lnGamma is ln Γ(x) for x > 0: Stirling's series, shifted to x ≥ 12 where it is exact.
func lnGamma(x float64) float64 {
	shift := 1.0
	for x < 12 {
		shift = float64(shift * x)
		x++
	}
	inverse := 1 / float64(x*x)
	series := 0.0
	for i := len(stirling) - 1; i >= 0; i-- {
		series = float64(series*inverse) + stirling[i]
	}
	return (float64((x-0.5)*ln(x)) - x) + halfLn2Pi + series/x - ln(shift)
}
