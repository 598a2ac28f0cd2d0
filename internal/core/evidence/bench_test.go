package evidence

import "testing"

var sink float64

func BenchmarkLn(b *testing.B) {
	x := 1.3
	for b.Loop() {
		for range 100 {
			x += 0.001
			sink += ln(x)
		}
	}
}

func BenchmarkLn1p(b *testing.B) {
	x := 0.3
	for b.Loop() {
		for range 100 {
			x += 0.001
			sink += ln1p(x)
		}
	}
}

func BenchmarkExp(b *testing.B) {
	x := -1.3
	for b.Loop() {
		for range 100 {
			x += 0.00001
			sink += exp(x)
		}
	}
}

var rowOfBench = Counts{X: 3, Mc: 500, Y: 2, Mb: 500}

func BenchmarkGuardAdd(b *testing.B) {
	g := NewGuard(0.2, 0.001)
	b.ReportAllocs()
	for b.Loop() {
		g.Add(rowOfBench)
	}
}

// One interval of one guardrail with all that is asked of it.
func BenchmarkGuardInterval(b *testing.B) {
	g, r := NewGuard(0.2, 0.001), RatioSequence{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if i%50 == 0 { // a trial of usual length, not one of a million intervals
			g, r = NewGuard(0.2, 0.001), RatioSequence{}
		}
		s := NewSplit(0.2, 500, 500)
		bound(&s, &g, &r, uint64(i))
	}
}

func bound(s *Split, g *Guard, r *RatioSequence, i uint64) {
	g.AddSplit(s, 3+i%3, 2+i%4)
	r.AddSplit(s, 3+i%3, 2+i%4)
	sink += g.LogHarm() + g.LogNoWorse() + g.LogAnyHarm()
}

// The same and the estimate for display.
func BenchmarkGuardIntervalWithRatio(b *testing.B) {
	g, r := NewGuard(0.2, 0.001), RatioSequence{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if i%50 == 0 {
			g, r = NewGuard(0.2, 0.001), RatioSequence{}
		}
		s := NewSplit(0.2, 500, 500)
		bound(&s, &g, &r, uint64(i))
		low, high, estimate := r.Interval(0.05)
		sink += low + high + estimate
	}
}

// What a further bound costs: the split is there.
func BenchmarkFurtherBound(b *testing.B) {
	g, r := NewGuard(0.2, 0.001), RatioSequence{}
	s := NewSplit(0.2, 500, 500)
	i := 0
	for b.Loop() {
		i++
		if i%50 == 0 {
			g, r = NewGuard(0.2, 0.001), RatioSequence{}
		}
		bound(&s, &g, &r, uint64(i))
	}
}

func BenchmarkNewSplit(b *testing.B) {
	for b.Loop() {
		s := NewSplit(0.2, 500, 500)
		sink += s.harm[3]
	}
}

func BenchmarkLogE(b *testing.B) {
	g := NewGuard(0.2, 0.001)
	for i := range uint64(20) {
		g.Add(Counts{X: 3 + i%3, Mc: 500, Y: 2 + i%4, Mb: 500})
	}
	for b.Loop() {
		sink += g.LogHarm() + g.LogNoWorse() + g.LogAnyHarm()
	}
}

func BenchmarkRatioInterval(b *testing.B) {
	var r RatioSequence
	for i := range uint64(20) {
		r.Add(Counts{X: 3 + i%3, Mc: 500, Y: 2 + i%4, Mb: 500})
	}
	for b.Loop() {
		low, high, estimate := r.Interval(0.05)
		sink += low + high + estimate
	}
}

func BenchmarkDifferences(b *testing.B) {
	var ds [2]Difference
	var rs [2]Recent
	ds[0], ds[1], rs[0], rs[1] = NewHarmDifference(0.001), NewNoWorseDifference(0.001), NewRecentHarm(0.001), NewRecentNoWorse(0.001)
	for b.Loop() {
		for k := range 2 {
			ds[k].Add(rowOfBench)
			rs[k].Add(rowOfBench)
		}
	}
}
