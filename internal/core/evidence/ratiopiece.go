package evidence

const (
	// ratioWindow is how many points of a [RatioSequence] one piece goes through.
	ratioWindow = 12
	// ratioSearch bounds the steps of a search on a piece, ratioPrecision ends it (in cells).
	ratioSearch    = 60
	ratioPrecision = 1e-11
)

// ratioPiece is the polynomial of degree 11 through twelve neighbouring points of L, in Newton's
// form. L is a sum of terms -n·ln(1-ρ+ρ·eᵘ), whose nearest poles are π away from the real axis,
// so with points 0.2 apart the error is below 1e-10 per event (1e-8 in the last cells before an
// edge).
type ratioPiece struct {
	first int
	d     [ratioWindow]float64 // divided differences at 0, 1, …, 11
}

// pieceStart is the first point of the piece that has the cell in its middle.
func pieceStart(cell int) int { return min(max(cell-ratioWindow/2+1, 0), ratioPoints-ratioWindow) }

func (s *RatioSequence) piece(cell int) (p ratioPiece) {
	p.first = pieceStart(cell)
	copy(p.d[:], s.logL[p.first:])
	for order := 1; order < ratioWindow; order++ {
		for i := ratioWindow - 1; i >= order; i-- {
			p.d[i] -= p.d[i-1]
		}
	}
	for order := 2; order < ratioWindow; order++ {
		p.d[order] = float64(p.d[order] * inverseFactorials[order])
	}
	return p
}

// at gives value, slope and curvature at position t, counted in cells from the first point.
func (p *ratioPiece) at(t float64) (value, slope, curvature float64) {
	for i := ratioWindow - 1; i >= 0; i-- {
		x := t - float64(i)
		curvature = float64(curvature*x) + 2*slope //exact: doubling
		slope = float64(slope*x) + value
		value = float64(value*x) + p.d[i]
	}
	return value, slope, curvature
}

// log is ln r at position t, position the inverse.
func (p *ratioPiece) log(t float64) float64 {
	return (t+float64(p.first))/ratioSpacing - ratioEdge
}

func (p *ratioPiece) position(log float64) float64 {
	return float64((log+ratioEdge)*ratioSpacing) - float64(p.first)
}

// middleWeights[i] gives the value half-way between points i and i+1 of a piece (Lagrange).
var (
	middleWeights     = makeMiddleWeights()
	inverseFactorials = makeInverseFactorials()
)

func makeMiddleWeights() (weights [ratioWindow - 1][ratioWindow]float64) {
	for cell := range weights {
		t := float64(cell) + 0.5
		for j := range weights[cell] {
			w := 1.0
			for i := range ratioWindow {
				if i != j {
					w = float64(w*(t-float64(i))) / float64(j-i)
				}
			}
			weights[cell][j] = w
		}
	}
	return weights
}

func makeInverseFactorials() (inverse [ratioWindow]float64) {
	factorial := 1.0
	for i := range inverse {
		factorial = float64(factorial * float64(max(i, 1)))
		inverse[i] = 1 / factorial
	}
	return inverse
}

// middle is L half-way between the points cell and cell+1.
func (s *RatioSequence) middle(cell int) (sum float64) {
	first := pieceStart(cell)
	weights, values := &middleWeights[cell-first], s.logL[first:first+ratioWindow]
	for i, v := range values {
		sum += float64(weights[i] * v)
	}
	return sum
}
