package shop

import (
	"context"
	"net/http"
	"time"
)

// Incident asks for a rehearsal: the warehouse database fails over, for everybody alike.
type Incident struct {
	// Duration in the notation of time.ParseDuration, at most 1 min.
	Duration string `json:"duration"`
}

// longestIncident bounds a rehearsal.
const longestIncident = time.Minute

// operators is what the people who run the warehouse can do. It is served apart from what
// customers reach.
func (s *inventory) operators() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /incidents", func(w http.ResponseWriter, r *http.Request) {
		var i Incident
		if !read(w, r, &i) {
			return
		}
		d, err := time.ParseDuration(i.Duration)
		if err != nil || d <= 0 || d > longestIncident {
			http.Error(w, `duration: write a time over 0 and at most 1m, such as "5s"`, http.StatusBadRequest)
			return
		}
		s.breakFor(d)
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// incidentFailure is the share of the checks that fail during an incident.
const incidentFailure = 0.3

func (s *inventory) inIncident() bool {
	end := s.incidentEnds.Load()
	return end != nil && time.Now().Before(*end)
}

// breakFor starts an incident that ends by itself after d.
func (s *inventory) breakFor(d time.Duration) {
	end := time.Now().Add(d)
	s.incidentEnds.Store(&end)
}

// Rehearse asks the operators' entrance of a running shop for an incident of length d.
func Rehearse(ctx context.Context, operatorURL string, d time.Duration) error {
	return post(ctx, http.DefaultClient, operatorURL+"/incidents", "rehearsal", Incident{Duration: d.String()}, nil)
}
