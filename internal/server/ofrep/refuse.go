package ofrep

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"golang.org/x/time/rate"
)

// codeParse says that the request cannot be read.
const codeParse = "PARSE_ERROR"

// refusal is why a request gets no evaluation.
type refusal struct {
	status  int
	code    string        // of OpenFeature; empty: GENERAL
	retry   time.Duration // for 429 and 503
	message string
}

func (e refusal) Error() string { return e.message }

// refusalOf is the one place that gives an error its status.
func refusalOf(err error) refusal {
	var ours refusal
	var many *auth.TooMany
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &many):
		return refusal{status: http.StatusTooManyRequests, retry: many.RetryAfter, message: err.Error()}
	case errors.Is(err, errMethod):
		return refusal{status: http.StatusMethodNotAllowed, message: err.Error()}
	}
	switch control.CodeOf(err) {
	case control.CodeUnauthenticated:
		return refusal{status: http.StatusUnauthorized, message: err.Error()}
	case control.CodePermission:
		return refusal{status: http.StatusForbidden, message: err.Error()}
	case control.CodeNotFound:
		return refusal{status: http.StatusNotFound, message: err.Error()}
	case control.CodeUnavailable:
		return refusal{status: http.StatusServiceUnavailable, retry: time.Second, message: err.Error()}
	}
	return refusal{status: http.StatusInternalServerError, message: "the server failed; its log says why"}
}

// refuse answers with what went wrong. Stock clients want an errorCode always, and the key if
// they asked for one flag.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, key string, err error) {
	e := refusalOf(err)
	s.stats.refused.Add(1)
	if e.status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		s.cfg.Logger.Error("evaluation failed", "path", r.URL.Path, "error", err)
	}
	switch e.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="seatrial"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := max(1, (e.retry+time.Second-1)/time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	s.send(w, r, e.status, encode(struct {
		Key     string `json:"key,omitempty"`
		Code    string `json:"errorCode"`
		Details string `json:"errorDetails"`
	}{key, orGeneral(e.code), e.message}))
}

func orGeneral(code string) string {
	if code == "" {
		return string(eval.ErrorGeneral)
	}
	return code
}

// rates holds the rate of requests of each credential.
type rates struct {
	byKey sync.Map // credential's id → *rate.Limiter
	kept  atomic.Int64
}

// maxRates is how many credentials are remembered; beyond that all begin anew.
const maxRates = 50_000

// take takes one request off what the credential may still make in this second.
func (l *rates) take(id string, perSecond float64, now time.Time) error {
	if perSecond < 0 {
		return nil
	}
	found, ok := l.byKey.Load(id)
	if !ok {
		if l.kept.Add(1) > maxRates {
			l.byKey.Clear()
			l.kept.Store(1)
		}
		found, _ = l.byKey.LoadOrStore(id, rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond))))
	}
	limiter := found.(*rate.Limiter)
	if limiter.AllowN(now, 1) {
		return nil
	}
	wait := limiter.ReserveN(now, 1)
	defer wait.CancelAt(now)
	return refusal{status: http.StatusTooManyRequests, retry: wait.DelayFrom(now),
		message: "this key makes more requests than it may: ask less often, or keep the answers for a while"}
}
