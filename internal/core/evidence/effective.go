package evidence

// Effective divides what an interval adds to a count by a design effect, and keeps integers: it
// is the difference of the rounded totals before and after, so less than one event is ever left
// out. Without clustering this is still valid: it is about the D-th root of the evidence, and a
// root of an e-value is one (Jensen). With clusters that inflate the variance D-fold it is what
// makes it approximately so. A design effect up to 1, or NaN, divides nothing.
func Effective(before, add uint64, designEffect float64) uint64 {
	if !(designEffect > 1) {
		return add
	}
	scaled := func(n uint64) uint64 { return uint64(float64(n) / designEffect) }
	return scaled(before+add) - scaled(before)
}
