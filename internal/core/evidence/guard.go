package evidence

// Guard judges one kind of bad event under one tolerance: the larger of a relative and an
// absolute margin. "Harm" must exceed both, "no worse" may stay under either.
//
// Each margin is tested by a process for steady conditions and one for sudden change, and the
// mean of their e-values counts: the absolute margin by [Difference] and [Recent], the relative
// one by [RelativeRate] and (for harm) [LateRate].
//
//   - Harm, H0 "within the relative or within the absolute margin": the smaller of the two
//     e-values, as H0 is a union and one of the two is valid on either part. It presumes that
//     one and the same margin is kept throughout; a treatment that keeps now this, now that one
//     while the base rate swings over orders of magnitude may be called harmful more often.
//   - No worse, H0 "beyond both margins": the mean of all, as each is valid on all of H0.
//   - Any harm, H0 "rate ratio ≤ 1": a quick alarm that ignores the tolerance, by [AnyHarm].
//
// A margin of 0 tolerates nothing, so the other alone is the tolerance and only its process
// runs. With both at 0 harm is any harm and no worse means "better".
//
// The zero value ignores everything. Plain value; its JSON keeps every bit.
type Guard struct {
	Relative float64 // 0.2 tolerates 1.2 times the control's share
	Absolute float64 // 0.001 tolerates 0.1 percentage points more

	AnyHarm           AnyHarm
	HarmRate          RelativeRate
	HarmLate          LateRate
	NoWorseRate       RelativeRate
	HarmDifference    Difference
	NoWorseDifference Difference
	HarmRecent        Recent
	NoWorseRecent     Recent
}

// NewGuard starts a guard. relative is brought into [0, MaxRate-1], absolute into [0, MaxDelta].
func NewGuard(relative, absolute float64) Guard {
	relative, absolute = cleanRelative(relative), cleanDelta(absolute)
	g := Guard{Relative: relative, Absolute: absolute, AnyHarm: NewAnyHarm()}
	if relative > 0 {
		g.HarmRate = NewHarmRate(1 + relative)
		g.HarmLate = NewLateHarmRate(1 + relative)
	}
	if relative > 0 || absolute == 0 {
		g.NoWorseRate = NewNoWorseRate(1 + relative)
	}
	if absolute > 0 {
		g.HarmDifference = NewHarmDifference(absolute)
		g.NoWorseDifference = NewNoWorseDifference(absolute)
		g.HarmRecent = NewRecentHarm(absolute)
		g.NoWorseRecent = NewRecentNoWorse(absolute)
	}
	return g
}

func cleanRelative(relative float64) float64 {
	if !(relative > 0) {
		return 0
	}
	return min(relative, MaxRate-1)
}

// Add weighs one interval in every process.
func (g *Guard) Add(c Counts) {
	var s Split
	s.prepare(g.Relative, c.Mc, c.Mb)
	g.AddSplit(&s, c.X, c.Y)
}

// AddSplit is Add for x bad events in the treatment and y in the control among the exposures of
// s. If s is for another relative margin the result is the same, only slower.
func (g *Guard) AddSplit(s *Split, x, y uint64) {
	if s.relative != g.Relative {
		g.Add(Counts{X: x, Mc: s.mc, Y: y, Mb: s.mb})
		return
	}
	c, ok := s.counts(x, y)
	if !ok || g.AnyHarm.IsZero() {
		return
	}
	if c.X+c.Y > 0 {
		g.addEvents(s, float64(c.X), float64(c.X)+float64(c.Y))
	}
	g.HarmDifference.Add(c)
	g.NoWorseDifference.Add(c)
	g.HarmRecent.Add(c)
	g.NoWorseRecent.Add(c)
}

// addEvents weighs x events of the treatment among n in the processes that need events.
func (g *Guard) addEvents(s *Split, x, n float64) {
	g.AnyHarm.weigh(x, n, &s.anyHarm)
	if !g.HarmRate.IsZero() {
		g.HarmRate.weigh(x, n, s.harm[:])
		g.HarmLate.weigh(x, n, &s.harm)
	}
	if !g.NoWorseRate.IsZero() {
		g.NoWorseRate.weigh(x, n, s.noWorse[:])
	}
}

// LogHarm is the log of the evidence that the treatment is worse than both margins allow.
func (g *Guard) LogHarm() float64 {
	if g.HarmRate.IsZero() && g.HarmDifference.IsZero() {
		return g.AnyHarm.LogE()
	}
	if g.HarmRate.IsZero() {
		return g.logHarmAbsolute()
	}
	relative := meanOfTwo(g.HarmRate.LogE(), g.HarmLate.LogE())
	if g.HarmDifference.IsZero() {
		return relative
	}
	return min(relative, g.logHarmAbsolute())
}

func (g *Guard) logHarmAbsolute() float64 {
	return meanOfTwo(g.HarmDifference.LogE(), g.HarmRecent.LogE())
}

// LogNoWorse is the log of the evidence that the treatment keeps the tolerance.
func (g *Guard) LogNoWorse() float64 {
	switch {
	case g.NoWorseDifference.IsZero():
		return g.NoWorseRate.LogE()
	case g.NoWorseRate.IsZero():
		return meanOfTwo(g.NoWorseDifference.LogE(), g.NoWorseRecent.LogE())
	}
	return MeanLogE(g.NoWorseRate.LogE(), g.NoWorseDifference.LogE(), g.NoWorseRecent.LogE())
}

// LogAnyHarm is the log of the evidence that the treatment is worse at all.
func (g *Guard) LogAnyHarm() float64 { return g.AnyHarm.LogE() }

// AnytimeP is the p-value valid at any time of a process whose highest log so far is maxLogE:
// exp(-maxLogE), at most 1.
func AnytimeP(maxLogE float64) float64 { return min(1, exp(-maxLogE)) }
