package evidence

import "math"

// Elementary functions that give the same bits on every architecture: only IEEE 754 basic
// operations, each product rounded by an explicit conversion so that it cannot be fused into
// the following sum. Errors are a few units in the last place (see the test).

// ln 2 in two parts: ln2High has 32 significant bits, so k·ln2High is exact for the exponent k
// of any float64.
const (
	ln2High = 0x1.62e42feep-1
	ln2Low  = math.Ln2 - ln2High
)

// atanhTail[i] are the coefficients 1/(2i+3) of (atanh(s)/s - 1)/s² as a polynomial in s²;
// enough of them for |s| ≤ 0.1716, the range that ln and ln1p reduce to.
var atanhTail = [...]float64{
	1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25,
}

// twiceAtanh is 2·atanh(s) for |s| ≤ 0.1716. Even and odd coefficients go in two chains, which
// halves the time a processor waits for the previous product.
func twiceAtanh(s float64) float64 {
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	even, odd := 0.0, 0.0
	for i := len(atanhTail) - 2; i >= 0; i -= 2 {
		even = float64(even*s4) + atanhTail[i]
		odd = float64(odd*s4) + atanhTail[i+1]
	}
	tail := even + float64(odd*s2)
	return float64(2*s) + float64(2*s*s2*tail)
}

// ln is the natural logarithm of a normal positive x; 0 and below give -Inf.
func ln(x float64) float64 {
	if !(x > 0) {
		return math.Inf(-1)
	}
	if math.IsInf(x, 1) {
		return x
	}
	m, k := math.Frexp(x) // m in [0.5, 1)
	if m < math.Sqrt2/2 {
		m, k = 2*m, k-1 //exact: doubling
	}
	e := float64(k)
	return float64(e*ln2High) + (float64(e*ln2Low) + twiceAtanh((m-1)/(m+1)))
}

// ln1p is ln(1+z), exact to the last digits also for tiny z.
func ln1p(z float64) float64 {
	if z > -0.29 && z < 0.41 {
		return twiceAtanh(z / (2 + z))
	}
	return ln(1 + z)
}

// exp is e^x; it underflows to 0 and overflows to +Inf.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.7:
		return math.Inf(1)
	case x < -744:
		return 0
	}
	k := math.Floor(x/math.Ln2 + 0.5)
	r := (x - float64(k*ln2High)) - float64(k*ln2Low) // |r| ≤ 0.3466
	p := 1.0
	for i := 15; i > 0; i-- { // 1 + r(1 + r/2(1 + r/3(…)))
		p = 1 + float64(r*p)/float64(i)
	}
	return math.Ldexp(p, int(k))
}

// logSumExp is ln Σ e^v without overflow; -Inf for no values.
func logSumExp(values []float64) float64 {
	top := math.Inf(-1)
	for _, v := range values {
		top = max(top, v)
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, v := range values {
		sum += exp(v - top)
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
