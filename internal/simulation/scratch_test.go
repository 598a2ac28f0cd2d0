package simulation

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

func TestScratch(t *testing.T) {
	reps, _ := strconv.Atoi(os.Getenv("REPS"))
	if reps == 0 {
		t.Skip()
	}
	var names []string
	if n := os.Getenv("TABLES"); n != "" {
		names = []string{n}
	}
	tables, _ := Find(names...)
	last := time.Now()
	Run(context.Background(), tables, Options{Reps: reps, Seed: 1, Done: func(r Result) {
		fmt.Println(r.Name, time.Since(last)); last = time.Now()
		for _, row := range r.Rows {
			fmt.Printf("%-12s", row.Key)
			for _, c := range row.Cells {
				m := " "
				if c.Differs { m = "*" }
				fmt.Printf(" %15s%s[%s]", c, m, c.Expected())
			}
			fmt.Println()
		}
	}})
}
