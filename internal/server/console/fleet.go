package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/server/fleet"
)

// Fleet has what processes report; *fleet.Store is one.
type Fleet interface {
	Dependencies(what fleet.Selection, after fleet.Place, limit int) (list []fleet.Summary, more bool)
	Points(service, after string, limit int) (list []fleet.Point, more bool)
}

var _ Fleet = (*fleet.Store)(nil)

// maxFleet is how many dependencies, and points, the page shows.
const maxFleet = 200

type dependencyView struct {
	Name, Service, Policy    string
	Icon, Word, Tone         string
	Since                    moment
	Budget, Refused, Retries string
}

type pointView struct {
	Name, Services   string
	Icon, Word, Tone string
	Traffic          moment
}

// fleet fills in what processes report.
func (c *Console) fleet(h *home) {
	var dependencies []fleet.Summary
	dependencies, h.MoreDependencies = c.cfg.Fleet.Dependencies(fleet.Selection{}, fleet.Place{}, maxFleet)
	for i := range dependencies {
		h.Dependencies = append(h.Dependencies, dependency(&dependencies[i]))
	}
	var points []fleet.Point
	points, h.MorePoints = c.cfg.Fleet.Points("", "", maxFleet)
	for i := range points {
		h.Points = append(h.Points, point(&points[i]))
	}
}

func dependency(m *fleet.Summary) dependencyView {
	v := dependencyView{Name: m.Name, Service: m.Service, Policy: m.Variant, Since: momentOf(m.Since), Budget: "–",
		Refused: rate(m.LastMinute.Refused()), Retries: rate(m.LastMinute[fleet.Retry])}
	if !math.IsNaN(m.Budget) {
		v.Budget = percent(m.Budget)
	}
	v.Word = m.State.String()
	switch {
	case m.Instances == 0:
		v.Icon, v.Word, v.Tone = "■", "gone", "calm"
	case m.State == fleet.Open:
		v.Icon, v.Tone = "✖", "bad"
	case m.State == fleet.HalfOpen:
		v.Icon, v.Tone = "‖", "wait"
	default:
		v.Icon, v.Tone = "✔", "good"
	}
	if m.InState < m.Instances {
		v.Word += fmt.Sprintf(" in %d of %d", m.InState, m.Instances)
	}
	return v
}

func rate(n float64) string { return strconv.FormatFloat(n, 'g', 3, 64) }

func point(p *fleet.Point) pointView {
	v := pointView{Name: p.Name, Traffic: momentOf(p.LastTraffic()), Word: string(p.Faults())}
	switch p.Faults() {
	case fleet.Allowed:
		v.Icon, v.Tone = "✔", "good"
	case fleet.Partly:
		v.Icon, v.Tone = "!", "wait"
	default:
		v.Icon, v.Tone = "■", "calm"
	}
	var services []string
	for _, s := range p.Services {
		services = append(services, s.Name)
	}
	v.Services = strings.Join(services, ", ")
	return v
}
