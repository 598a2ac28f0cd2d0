package evidence

// Split holds what depends only on the exposures of an interval: the normalisers of the rate
// processes, which are most of the work. Whoever has several kinds of bad events with the same
// exposures (latency above several bounds) makes it once and gives it to all of them by AddSplit.
//
// Plain value of about 1 KB, not meant to be stored. Its methods do not change it, so it may be
// read by several at once.
type Split struct {
	relative float64
	mc, mb   uint64
}

// NewSplit prepares an interval with mc exposures in the treatment and mb in the control, for
// guards with the given relative margin (as given to [NewGuard]).
func NewSplit(relative float64, mc, mb uint64) Split {
	return Split{relative: cleanRelative(relative), mc: mc, mb: mb}
}

// AddSplit is Add for x bad events in the treatment and y in the control among the exposures of
// s. If s is for another relative margin the result is the same, only slower.
func (g *Guard) AddSplit(s *Split, x, y uint64) {
	g.Add(Counts{X: x, Mc: s.mc, Y: y, Mb: s.mb})
}

// AddSplit is Add for x bad events in the treatment and y in the control among the exposures of
// sp.
func (s *RatioSequence) AddSplit(sp *Split, x, y uint64) {
	s.Add(Counts{X: x, Mc: sp.mc, Y: y, Mb: sp.mb})
}
