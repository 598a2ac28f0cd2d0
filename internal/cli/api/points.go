package api

import (
	"context"
	"net/url"
	"time"
)

// Point is a place where faults can be injected.
type Point struct {
	Name        string         `json:"name"`
	Faults      string         `json:"faults"` // allowed, partly or denied
	LastSeen    time.Time      `json:"lastSeen"`
	LastTraffic time.Time      `json:"lastTraffic,omitzero"` // zero: no call was seen
	Experiments []string       `json:"experiments,omitempty"`
	Services    []PointService `json:"services"`
}

// PointService is a service that has a point.
type PointService struct {
	Name        string    `json:"name"`
	Faults      string    `json:"faults"`
	LastSeen    time.Time `json:"lastSeen"`
	LastTraffic time.Time `json:"lastTraffic,omitzero"`
}

// Points gives all points, sorted by name; with a service only those that it has.
func (c *Client) Points(ctx context.Context, service string) ([]Point, error) {
	return allOf[Point](ctx, c, "/api/v1/points", ofService(service))
}

// ofService selects what a service has reported; empty: any.
func ofService(service string) url.Values {
	query := url.Values{}
	if service != "" {
		query.Set("service", service)
	}
	return query
}
