package simulation

import (
	"fmt"
	"math"
	"slices"
)

// Result is a table that was drawn.
type Result struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Minutes int      `json:"minutes"` // how long was watched
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Row is what one rule did in each column.
type Row struct {
	Key   string `json:"key"`
	Name  string `json:"name"`
	Cells []Cell `json:"cells"`
}

// Cell says how often a rule fired, and when.
type Cell struct {
	Reps  int     `json:"reps"`
	Fired int     `json:"fired"`
	Share float64 `json:"share"` // Fired/Reps
	// Error is the Monte-Carlo standard error of Share.
	Error float64 `json:"error"`
	// Median is the minute in which half of all repetitions had fired; 0 if they never had.
	Median int `json:"median"`
	// MedianLow and MedianHigh are where the median lies within three standard errors; 0: beyond
	// the time that was watched.
	MedianLow  int `json:"medianLow"`
	MedianHigh int `json:"medianHigh"`
	// Reference is what the reference found, if it has the cell.
	Reference *Reference `json:"reference,omitempty"`
	// Differs tells that share or median is over three standard errors from the reference's.
	Differs bool `json:"differs"`

	minutes int
	sorted  []uint16
}

// Reference is a cell of the reference.
type Reference struct {
	Share  float64 `json:"share"`
	Median int     `json:"median"` // 0: never; -1: not told
	Reps   int     `json:"reps"`
}

// newCell counts the minutes in which the repetitions of a row fired.
func newCell(fired []uint16, minutes int) Cell {
	c := Cell{Reps: len(fired), minutes: minutes, sorted: slices.Clone(fired)}
	for i, m := range fired {
		if m == never {
			c.sorted[i] = math.MaxUint16
		} else {
			c.Fired++
		}
	}
	slices.Sort(c.sorted)
	c.Share = float64(c.Fired) / float64(c.Reps)
	c.Error = standardError(c.Share, c.Reps)
	c.Median = c.order(0.5)
	c.MedianLow, c.MedianHigh = c.medianWithin(1)
	return c
}

// standardError of a share; that of a share of 0 or 1 is as if one more had fired or not.
func standardError(share float64, reps int) float64 {
	n := float64(reps)
	p := (share*n + 1) / (n + 2)
	return math.Sqrt(p * (1 - p) / n)
}

// order is the minute by which a part of the repetitions had fired; 0 if they never had.
func (c *Cell) order(part float64) int {
	i := min(max(int(math.Ceil(part*float64(c.Reps)))-1, 0), c.Reps-1)
	if m := c.sorted[i]; m != math.MaxUint16 {
		return int(m)
	}
	return never
}

// medianWithin gives where the median lies within three standard errors, of which wider is a
// multiple.
func (c *Cell) medianWithin(wider float64) (low, high int) {
	part := 3 * wider * math.Sqrt(0.25/float64(c.Reps))
	return c.order(0.5 - part), c.order(0.5 + part)
}

// compare puts the reference beside the cell. The error of a difference is that of both.
func (c *Cell) compare(r *Reference) {
	if r == nil {
		return
	}
	c.Reference = r
	deviation := math.Hypot(c.Error, standardError(r.Share, r.Reps))
	const rounding = 0.0005 // the reference is told to 0.1 %
	c.Differs = math.Abs(c.Share-r.Share) > 3*deviation+rounding
	if r.Median < 0 {
		return
	}
	low, high := c.medianWithin(math.Sqrt(1 + float64(c.Reps)/float64(r.Reps)))
	if later(low, r.Median) || later(r.Median, high) {
		c.Differs = true
	}
}

// later reports whether minute a is after minute b; never is after all others.
func later(a, b int) bool {
	if a == never || b == never {
		return a == never && b != never
	}
	return a > b
}

// String gives the cell as the tables have it: "95.0% / 45".
func (c Cell) String() string { return show(c.Share, c.Median, c.minutes) }

func show(share float64, median, minutes int) string {
	switch {
	case median < 0:
		return fmt.Sprintf("%.1f%%", 100*share)
	case median == never:
		return fmt.Sprintf("%.1f%% / >%d", 100*share, minutes)
	}
	return fmt.Sprintf("%.1f%% / %d", 100*share, median)
}

// Expected gives the reference's cell in the same form; empty if there is none.
func (c Cell) Expected() string {
	if c.Reference == nil {
		return ""
	}
	return show(c.Reference.Share, c.Reference.Median, c.minutes)
}
