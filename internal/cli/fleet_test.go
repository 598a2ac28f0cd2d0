package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
)

func opening(seq int64) api.Transition {
	return api.Transition{Seq: seq, At: time.Unix(seq, 0), Dependency: "pg", Service: "shop", Instance: "i-1", Policy: "fast", From: "closed", To: "open"}
}

// Each change is one line, from the beginning of the watch on, also over a restart of the server.
func TestEachTransitionIsALine(t *testing.T) {
	for format, want := range map[string]string{
		"tsv":   "1970-01-01T00:00:02Z\tpg\tshop\ti-1\tfast\tclosed\topen\n",
		"json":  `{"seq":2,"at":"1970-01-01T00:00:02Z","dependency":"pg","service":"shop","instance":"i-1","policy":"fast","from":"closed","to":"open"}` + "\n",
		"table": "00:00:02  pg  closed -> x open  shop i-1 (fast)\n",
	} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				local := time.Local
				time.Local = time.UTC
				defer func() { time.Local = local }()
				var out, told bytes.Buffer
				a := newApp(strings.NewReader(""), &out, &told, func(string) string { return "" })
				a.output = format
				ctx, cancel := context.WithCancel(t.Context())
				asked := 0
				err := a.followTransitions(ctx, func(_ context.Context, after int64) ([]api.Transition, error) {
					asked++
					switch {
					case asked == 2:
						return nil, &api.Unreachable{Server: "x", Err: errors.New("refused")}
					case asked == 5:
						cancel()
					}
					list := []api.Transition{opening(1)} // before the watch
					if asked >= 4 {
						list = append(list, opening(2))
					}
					for len(list) > 0 && list[0].Seq <= after {
						list = list[1:]
					}
					return list, nil
				})
				if !errors.Is(err, context.Canceled) || out.String() != want || asked != 5 {
					t.Errorf("%v after %d questions, printed %q, want %q", err, asked, out.String(), want)
				}
				if strings.Count(told.String(), "\n") != 2 || !strings.Contains(told.String(), "trying again") {
					t.Errorf("told %q", told.String())
				}
			})
		})
	}
}

func float(n float64) *float64 { return &n }

func TestDependenciesOnATerminal(t *testing.T) {
	now := time.Now()
	list := []api.Dependency{
		{Name: "mail", Service: "shop", State: "closed", InState: 2, Instances: 2, Since: now.Add(-time.Hour)},
		{Name: "pg", Service: "shop", Policy: "fast", State: "open", InState: 1, Instances: 3, Since: now.Add(-20 * time.Second), DependencyNumbers: api.DependencyNumbers{
			Budget: float(0.05), InFlight: float(7), Limit: float(60), PerMinute: api.EventCounts{RefusedOpen: 100, RefusedFull: 20.4, Retry: 0.5}}},
		{Name: "sms", Service: "shop", State: "open", Gone: 1, Since: now.Add(-time.Hour)},
	}
	plain := style{terminal: true}
	got := plain.dependencies(list, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	want := `03:04:05  x 1 of 3 not closed

NAME  SERVICE  STATE          SINCE    POLICY  BUDGET  IN-FLIGHT  LIMIT  REFUSED/MIN  RETRIES/MIN
mail  shop     + closed       1h ago   -       -       -          -      0            0
pg    shop     x open in 1 of 3  20s ago  fast    ! 5%    7          60     x 120        ! 0.5
sms   shop     ? gone         1h ago   -       -       -          -      0            0
`
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s", got)
	}
	if got := plain.dependencies(list[:1], now); !strings.Contains(got, "+ all breakers are closed") {
		t.Errorf("got\n%s", got)
	}
	if got := plain.dependencies(nil, now); !strings.Contains(got, "No dependencies.") {
		t.Errorf("got\n%s", got)
	}
	coloured := style{terminal: true, colour: true}
	if got := coloured.dependencies(list, now); !strings.Contains(got, "\x1b[31mx open in 1 of 3\x1b[0m") || !strings.Contains(got, "\x1b[32m+ closed\x1b[0m") {
		t.Errorf("got\n%q", got)
	}
}
