package outcome

// Scale is the fixed scale of every stored histogram: bucket i holds (base^i, base^(i+1)] with
// base = 2^(2^-Scale), that is 2.2 % wide, ±1.1 % (OpenTelemetry exponential histogram, data
// model section "Exponential scale").
const Scale = 5

// Histogram is an exponential histogram at [Scale]. The zero value is empty and ready to use.
// It is not safe for concurrent use.
type Histogram struct {
	Zero   uint64   `json:"zero,omitempty"`   // values ≤ 0
	Offset int32    `json:"offset,omitempty"` // index of Counts[0]
	Counts []uint64 `json:"counts,omitempty"`
	Sum    float64  `json:"sum,omitempty"`
}

// Skeleton, to be completed: Record(seconds float64), Merge(*Histogram), Count() uint64,
// Above(bound float64) uint64 (bound must be a bucket edge, see Edge), Edge(v float64) float64 (the
// largest bucket edge ≤ v: the stricter side), Quantile(q float64) float64, Clone.
