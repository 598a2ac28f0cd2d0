// Package prometheus pulls the counts of guardrails from a Prometheus server.
//
// It asks for raw samples and adds up the increases itself: whole numbers, each sample in exactly
// one pull. PromQL's increase() extrapolates to the ends of its window and gives fractions, and
// neighbouring windows of it share or lose samples, which evidence that is weighed interval by
// interval cannot stand.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Config says where Prometheus is and how far to trust its freshness. URL is required.
type Config struct {
	// URL of one server, http or https, with a path if it lies below one. Not several: two servers
	// scrape at different times, so that going from one to the other would count some requests
	// twice and lose others.
	URL string
	// BearerTokenFile holds a token. BasicUser and BasicPasswordFile are the other way. Files are
	// read with each query, so that secrets can be exchanged; white space around is cut off.
	BearerTokenFile   string
	BasicUser         string
	BasicPasswordFile string
	// Timeout of one query, default 10 s.
	Timeout time.Duration
	// Lag is how long to wait for scrapes: a pull ends that much before now. A scrape has the time
	// of its start and is stored at its end, so Lag must be over the scrape timeout. Default 30 s.
	Lag time.Duration
	// Align is what pulls begin and end at multiples of. It must be a multiple of the scrape
	// interval, since then every target gives the same number of scrapes to every pull; otherwise
	// how many of them fall into one would be taken for more or less traffic. Default 1 min, which
	// is right for 1, 2, 5, 10, 15, 20, 30 and 60 s.
	Align time.Duration
	// Lookback is how old the sample may be from which a counter goes on, so the longest gap of
	// scrapes after which its increase still counts. Default 5 min.
	Lookback time.Duration
	// MaxAnswer bounds the answer to one query in bytes. Default 8 MiB: some 250,000 samples.
	MaxAnswer int64
	// Transport is what queries go through, default a clone of http.DefaultTransport.
	Transport http.RoundTripper
	// Now reads the clock, default time.Now.
	Now    func() time.Time
	Logger *slog.Logger // default: discard
}

const (
	defaultTimeout   = 10 * time.Second
	defaultLag       = 30 * time.Second
	defaultAlign     = time.Minute
	defaultLookback  = 5 * time.Minute
	defaultMaxAnswer = 8 << 20
	// maxSpan bounds the time of one pull, or twice the trial's interval if that is more: after a
	// long absence the pulls catch up one by one, and their answers stay small.
	maxSpan = 10 * time.Minute
	// maxQueries bounds the queries that are under way at once.
	maxQueries = 8
)

// Source pulls counts. All methods are safe for concurrent use. Make one with [New].
type Source struct {
	cfg      Config
	endpoint string
	client   *http.Client
	slots    chan struct{}
	reasons  reasons
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Source, error) {
	at, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("prometheus: url %q: %w", cfg.URL, err)
	case at.Scheme != "http" && at.Scheme != "https" || at.Host == "":
		return nil, fmt.Errorf("prometheus: url %q: write it as http://host:9090 or https://host", cfg.URL)
	case at.User != nil || at.RawQuery != "" || at.Fragment != "":
		return nil, fmt.Errorf("prometheus: url of %s: give user and password in their own settings, and no query", at.Host)
	case cfg.BearerTokenFile != "" && cfg.BasicUser != "":
		return nil, errors.New("prometheus: there are a bearer token and a user; give one of them")
	case (cfg.BasicUser == "") != (cfg.BasicPasswordFile == ""):
		return nil, errors.New("prometheus: a user needs a file with the password, and the other way round")
	case cfg.Timeout < 0 || cfg.Lag < 0 || cfg.Align < 0 || cfg.Lookback < 0 || cfg.MaxAnswer < 0:
		return nil, errors.New("prometheus: timeout, lag, align, lookback and the size of answers must not be negative; 0 means the default")
	}
	cfg = cfg.withDefaults()
	return &Source{
		cfg: cfg, endpoint: strings.TrimSuffix(at.String(), "/") + "/api/v1/query", slots: make(chan struct{}, maxQueries),
		client: &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.Timeout, defaultTimeout)
	set(&c.Lag, defaultLag)
	set(&c.Align, defaultAlign)
	c.Align = max(c.Align, time.Millisecond)
	set(&c.Lookback, defaultLookback)
	if c.MaxAnswer == 0 {
		c.MaxAnswer = defaultMaxAnswer
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Pull gives the measures of the plan's guardrails that name counters of Prometheus, of the whole
// multiples of Align from from (exclusive) to the smaller of until and Lag before now (inclusive),
// or fewer: From and To say it. If there is none, To is From and nothing was asked. The next pull
// goes on at To.
//
// An error means that Prometheus could not say everything: it is away, too slow or too large, or a
// selector is wrong. Nothing is pulled then, for any guardrail, since a pull is of one time; the
// next one may start at the same from, and loses nothing. A guardrail whose numbers are no counts,
// or contradict each other, has no measure in the pull, for which the log tells the reason. Neither
// has an arm without a sample in that time.
func (s *Source) Pull(ctx context.Context, spec trial.Spec, from, until time.Time) (outcome.Pull, error) {
	from, until = s.span(&spec, from, until)
	pull := outcome.Pull{From: from, To: until}
	if !until.After(from) {
		pull.To = from
		return pull, nil
	}
	asked := selectors(&spec)
	answers, err := s.askAll(ctx, asked, until, until.Sub(from)+s.cfg.Lookback)
	if err != nil {
		return outcome.Pull{}, err
	}
	w := newWindow(from, until, s.cfg.Lookback, answers)
	for i := range spec.Guardrails {
		g := &spec.Guardrails[i]
		if g.Prometheus == nil {
			continue
		}
		treatment, control, err := w.measures(g)
		s.tell(spec.Name, g.Name, err)
		if err != nil {
			continue
		}
		pull.Treatment = with(pull.Treatment, treatment)
		pull.Control = with(pull.Control, control)
	}
	return pull, nil
}

// span gives the time to pull: what lies on both sides of it in the wish is left to the next pull,
// or, before the first of a step, to nobody.
func (s *Source) span(spec *trial.Spec, from, until time.Time) (time.Time, time.Time) {
	if start := from.Truncate(s.cfg.Align); start.Before(from) {
		from = start.Add(s.cfg.Align)
	}
	longest := max(maxSpan, 2*time.Duration(spec.Interval), s.cfg.Align)
	for _, bound := range []time.Time{s.cfg.Now().Add(-s.cfg.Lag), from.Add(longest)} {
		if bound.Before(until) {
			until = bound
		}
	}
	return from, until.Truncate(s.cfg.Align).UTC()
}

// with adds a measure to a list that is sorted by name; nil adds nothing.
func with(list []outcome.Measure, m *outcome.Measure) []outcome.Measure {
	if m == nil {
		return list
	}
	a := outcome.Arm{Measures: list}
	a.AddMeasure(*m)
	return a.Measures
}

// selector is one that a plan has, and where.
type selector struct{ text, place string }

// selectors gives the plan's, each text once, with the first of its places.
func selectors(spec *trial.Spec) (list []selector) {
	known := map[string]bool{"": true}
	for i := range spec.Guardrails {
		g := &spec.Guardrails[i]
		if g.Prometheus == nil {
			continue
		}
		for _, arm := range []struct {
			name     string
			counters *trial.PromCounters
		}{{outcome.ArmTreatment, &g.Prometheus.Treatment}, {outcome.ArmControl, &g.Prometheus.Control}} {
			for _, part := range []selector{{arm.counters.Total, "total"}, {arm.counters.Bad, "bad"}, {arm.counters.Good, "good"}} {
				if !known[part.text] {
					known[part.text] = true
					list = append(list, selector{part.text, fmt.Sprintf("guardrail %s: %s %s", g.Name, arm.name, part.place)})
				}
			}
		}
	}
	return list
}

// askAll asks for the samples of all selectors. The error is that of the first in the plan.
func (s *Source) askAll(ctx context.Context, asked []selector, until time.Time, span time.Duration) (map[string][]series, error) {
	answers, failures := make([][]series, len(asked)), make([]error, len(asked))
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() { answers[i], failures[i] = s.ask(ctx, asked[i], until, span) })
	}
	all.Wait()
	found := make(map[string][]series, len(asked))
	for i := range asked {
		if failures[i] != nil {
			return nil, failures[i]
		}
		found[asked[i].text] = answers[i]
	}
	return found, nil
}

// reasons remembers why guardrails had no measure, so that the log tells each once.
type reasons struct {
	mu   sync.Mutex
	last map[[2]string]string
}

// maxReasons bounds what is remembered; beyond, some reasons are told again.
const maxReasons = 10_000

// tell logs why a guardrail has no measure, if that is news, and when it has one again.
func (s *Source) tell(trialName, guardrail string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	key := [2]string{trialName, guardrail}
	s.reasons.mu.Lock()
	before := s.reasons.last[key]
	if s.reasons.last == nil || len(s.reasons.last) >= maxReasons {
		s.reasons.last = map[[2]string]string{}
	}
	if text == "" {
		delete(s.reasons.last, key)
	} else {
		s.reasons.last[key] = text
	}
	s.reasons.mu.Unlock()
	switch {
	case before == text:
	case text == "":
		s.cfg.Logger.Info("prometheus: the counts are in order again", "trial", trialName, "guardrail", guardrail)
	default:
		s.cfg.Logger.Warn("prometheus: the counts cannot be used; the guardrail has no data", "trial", trialName, "guardrail", guardrail, "reason", text)
	}
}
