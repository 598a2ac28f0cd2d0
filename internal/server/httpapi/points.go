package httpapi

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/fleet"
)

// shownPoint is a place where faults can be injected.
type shownPoint struct {
	Name        string           `json:"name"`
	Faults      fleet.Permission `json:"faults"`
	LastSeen    time.Time        `json:"lastSeen"`
	LastTraffic time.Time        `json:"lastTraffic,omitzero"`
	// Experiments are those that run and may inject faults there.
	Experiments []string            `json:"experiments,omitempty"`
	Services    []shownPointService `json:"services"`
}

// shownPointService is a service that has the point.
type shownPointService struct {
	Name        string           `json:"name"`
	Faults      fleet.Permission `json:"faults"`
	LastSeen    time.Time        `json:"lastSeen"`
	LastTraffic time.Time        `json:"lastTraffic,omitzero"`
}

func (c *call) listPoints() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	found, more := c.api.cfg.Fleet.Points(c.param("service"), p.After, orHundred(p.Limit))
	running := c.experiments()
	items := make([]shownPoint, 0, len(found))
	for i := range found {
		items = append(items, showPoint(&found[i], running[found[i].Name]))
	}
	next := ""
	if more {
		next = items[len(items)-1].Name
	}
	return answerPage(c, items, next)
}

func showPoint(p *fleet.Point, experiments []string) shownPoint {
	shown := shownPoint{Name: p.Name, Faults: p.Faults(), LastSeen: p.LastSeen().UTC(), LastTraffic: inUTC(p.LastTraffic()), Experiments: experiments}
	for _, s := range p.Services {
		shown.Services = append(shown.Services, shownPointService{s.Name, s.Faults, s.LastSeen.UTC(), inUTC(s.LastTraffic)})
	}
	return shown
}

// inUTC leaves the zero time as it is.
func inUTC(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// experiments gives the experiments that run, by the points of their faults.
func (c *call) experiments() map[string][]string {
	byPoint := map[string][]string{}
	for _, entry := range c.api.cfg.Service.ActiveTrials() {
		if entry.Spec.Goal != trial.GoalSurvive {
			continue
		}
		f, err := c.api.cfg.Service.GetFlag(entry.Spec.Flag)
		if err != nil {
			continue // deleted meanwhile
		}
		for _, v := range f.Variants {
			if v.Name != entry.Spec.Treatment {
				continue
			}
			if point := pointOf(v.Value); point != "" && !slices.Contains(byPoint[point], entry.Spec.Name) {
				byPoint[point] = append(byPoint[point], entry.Spec.Name)
			}
		}
	}
	return byPoint
}

// pointOf gives the point that a variant's program is for; empty if it is none.
func pointOf(value json.RawMessage) string {
	p, err := fault.ParseProgram(value)
	if err != nil || p == nil {
		return ""
	}
	return p.Point
}
