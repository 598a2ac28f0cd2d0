package httpapi

import (
	"time"

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
	running := c.api.cfg.Service.ExperimentsByPoint()
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
