package evidence

// Split holds what depends only on the exposures of an interval: the normalisers of the rate
// processes, which are most of the work. Whoever has several kinds of bad events with the same
// exposures (latency above several bounds) makes it once and gives it to all of them by AddSplit.
//
// Plain value of about 1 KB, not meant to be stored. Adding does not change it, so it may be read
// by several at once.
type Split struct {
	relative float64
	mc, mb   uint64

	ratio   [ratioPoints]float64   // for every ratio of a RatioSequence
	anyHarm [anyHarmPoints]float64 // r0 = 1
	harm    [harmPoints]float64    // r0 = 1+relative
	noWorse [noWorsePoints]float64 // r0 = 1+relative
}

// NewSplit prepares an interval with mc exposures in the treatment and mb in the control, for
// guards with the given relative margin (as given to [NewGuard]).
func NewSplit(relative float64, mc, mb uint64) (s Split) {
	s.prepare(cleanRelative(relative), mc, mb)
	return s
}

func (s *Split) prepare(relative float64, mc, mb uint64) {
	s.relative, s.mc, s.mb = relative, mc, mb
	if mc == 0 || mb == 0 {
		return
	}
	share := weightOf(mc, mb, 1)
	normalise(s.ratio[:], ratioSteps[:], share)
	// Every fourth alternative of "any harm" is also one of the ratios.
	const zero, every = ratioPoints / 2, int(anyHarmSpacing / ratioSpacing)
	for k := 0; k < anyHarmPoints; k += every {
		normalise(s.anyHarm[k:k+every-1], anyHarmSteps[k:k+every-1], share)
		s.anyHarm[k+every-1] = s.ratio[zero+k/every+1]
	}
	weight := share
	if relative > 0 {
		weight = weightOf(mc, mb, 1+relative)
		normalise(s.harm[:], harmSteps[:], weight)
	}
	normalise(s.noWorse[:], noWorseSteps[:], weight)
}

// counts are the rows of the interval.
func (s *Split) counts(x, y uint64) (c Counts, ok bool) {
	return Counts{X: x, Mc: s.mc, Y: y, Mb: s.mb}.clean()
}
