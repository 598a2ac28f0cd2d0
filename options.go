package seatrial

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
)

// Environment variables that [Open] reads where the option is absent. EnvFaults is different: set
// to anything but "on", it keeps faults off whatever the application says, so that a slip of the
// pen in an emergency errs on the safe side.
const (
	EnvServer      = "SEATRIAL_SERVER"
	EnvKey         = "SEATRIAL_KEY"
	EnvEnvironment = "SEATRIAL_ENVIRONMENT"
	EnvFaults      = "SEATRIAL_FAULTS"
	EnvFaultsFile  = "SEATRIAL_FAULTS_FILE"
)

// The flush interval's range and default.
const (
	minFlushInterval     = 100 * time.Millisecond
	maxFlushInterval     = 5 * time.Minute
	defaultFlushInterval = 5 * time.Second
)

// Option changes how [Open] sets a client up. The With functions make them; of two options of
// one kind the later holds.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config is what Open starts from; it does not change afterwards.
type config struct {
	server        string // URL without path; empty: no control plane
	key           string
	environment   string // empty: the key's
	service       string
	file          string
	flushInterval time.Duration
	wait          time.Duration
	logger        *slog.Logger
	http          *http.Client
	faults        *fault.Caps   // nil: off
	faultsDenied  string        // why they are
	lease         time.Duration // of faults
	faultsFile    string
	meters        metric.MeterProvider // nil: the global one
	events        log.Logger           // nil: none
	policies      map[string]resilience.Policy
}

// WithServer gives the URL of the control plane, such as "https://seatrial.example.com". Default:
// environment variable SEATRIAL_SERVER; without either the client stays on its own, with the
// file of [WithFile] or the defaults in the code.
func WithServer(url string) Option { return optionFunc(func(c *config) { c.server = url }) }

// WithKey gives the SDK key that the control plane issued. Default: environment variable
// SEATRIAL_KEY; empty sends none.
func WithKey(key string) Option { return optionFunc(func(c *config) { c.key = key }) }

// WithEnvironment says which environment of the control plane the client belongs to. Default:
// environment variable SEATRIAL_ENVIRONMENT; without either the one that the key is for, or the
// server's first. A key that is for another one is refused.
func WithEnvironment(name string) Option {
	return optionFunc(func(c *config) { c.environment = name })
}

// WithService names the application in telemetry (service.name). Default: "unknown_service:" and
// the name of the executable.
func WithService(name string) Option { return optionFunc(func(c *config) { c.service = name }) }

// WithFile keeps the last known good snapshot in a file, with two older generations beside it
// (path.1, path.2), readable by the process's user only. A client that starts while the control
// plane is away begins with it. Default: none. The directory must exist.
func WithFile(path string) Option { return optionFunc(func(c *config) { c.file = path }) }

// WithFlushInterval says how often outcomes are sent, 100 ms to 5 min. Default 5 s.
func WithFlushInterval(d time.Duration) Option {
	return optionFunc(func(c *config) { c.flushInterval = d })
}

// WithLogger receives what an operator should know: lost and regained connections, refused keys,
// definitions that cannot be used. Nothing is logged per evaluation or request. Default: nothing
// is logged. The logger may be called from several goroutines.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(c *config) { c.logger = l }) }

// WithHTTPClient is used to talk to the control plane, for instance through a proxy or with a
// private certificate authority. Its Timeout is not used, since the change stream has no end;
// requests are bounded by the client itself. Default: a transport of the client's own. Do not
// give a client that is traced or has faults injected.
func WithHTTPClient(h *http.Client) Option { return optionFunc(func(c *config) { c.http = h }) }

// WithWait lets [Open] wait until the control plane's snapshot is there, and fail if it takes
// longer than d or the context ends. Default 0: Open returns at once, and evaluations give the
// last known good or the code's defaults until the snapshot arrives.
func WithWait(d time.Duration) Option { return optionFunc(func(c *config) { c.wait = d }) }

// WithEventLogger makes [Client.Track] emit a log event, too, to a logger of OpenTelemetry.
// Default: events of spans only.
func WithEventLogger(l log.Logger) Option { return optionFunc(func(c *config) { c.events = l }) }

// WithFaults allows faults to be injected, within caps: an experiment can stay below them, never go
// above. Even then faults come only to units in the treatment of a chaos experiment that runs. The
// points are those of dependencies and of [Client.Point], and, for the first such client of a
// process, those of [fault.Register]. Without this option no fault is ever injected. The environment
// variable SEATRIAL_FAULTS=off beats it, and so do [WithFaultsFile] and [Client.StopFaults].
func WithFaults(caps fault.Caps) Option {
	return optionFunc(func(c *config) { c.faults = &caps })
}

// WithFaultsFile names a file that keeps faults off while it is there, whatever it holds: a switch
// for people and machines that works without the control plane, within a quarter of a second. What
// holds calls up is cut short. When the file is gone faults may come again. Default: environment
// variable SEATRIAL_FAULTS_FILE; without either no file is looked for. That there is no such file
// when the client is opened is as it should be.
func WithFaultsFile(path string) Option { return optionFunc(func(c *config) { c.faultsFile = path }) }

// WithMeterProvider says where the client offers metrics on its dependencies, see [Dependency], and on
// faults: "seatrial.fault.injections", the calls that were hit, by "seatrial.trial",
// "seatrial.fault.point", "seatrial.fault.kind" and "seatrial.fault.phase". Default: the global
// provider of OpenTelemetry, which does nothing until the application sets one. Nil means the default.
func WithMeterProvider(p metric.MeterProvider) Option {
	return optionFunc(func(c *config) { c.meters = p })
}

// WithPolicy gives the policy of a dependency for as long as there is no flag "policy-<name>" in
// force. Default: no policy, calls go straight through.
func WithPolicy(dependency string, p resilience.Policy) Option {
	return optionFunc(func(c *config) {
		if c.policies == nil {
			c.policies = map[string]resilience.Policy{}
		}
		c.policies[dependency] = p
	})
}

// newConfig applies options over the environment over the defaults, and checks the result.
func newConfig(options []Option) (config, error) {
	c := config{
		server: os.Getenv(EnvServer), key: os.Getenv(EnvKey), environment: os.Getenv(EnvEnvironment),
		service:       "unknown_service:" + filepath.Base(os.Args[0]),
		flushInterval: defaultFlushInterval, faultsFile: os.Getenv(EnvFaultsFile), lease: fault.MaxLease,
	}
	for _, o := range options {
		if o != nil {
			o.apply(&c)
		}
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.faults == nil {
		c.faultsDenied = "not allowed by the application"
	}
	if s := os.Getenv(EnvFaults); s != "" && !strings.EqualFold(s, "on") {
		c.faults, c.faultsDenied = nil, fmt.Sprintf("%s is %q", EnvFaults, s)
	}
	return c, c.check()
}

// check refuses what cannot work, so that a slip shows at start and not in an incident.
func (c *config) check() error {
	var problems []error
	if c.flushInterval < minFlushInterval || c.flushInterval > maxFlushInterval {
		problems = append(problems, fmt.Errorf("flush interval %v: give %v to %v", c.flushInterval, minFlushInterval, maxFlushInterval))
	}
	if c.wait < 0 {
		problems = append(problems, fmt.Errorf("wait of %v: give 0 or more", c.wait))
	}
	if c.wait > 0 && c.server == "" {
		problems = append(problems, fmt.Errorf("nothing to wait for: give a server with WithServer or %s", EnvServer))
	}
	if strings.ContainsAny(c.key, "\r\n") {
		problems = append(problems, errors.New("the key contains a line break: remove it"))
	}
	if err := flag.CheckKey(c.environment); c.environment != "" && err != nil {
		problems = append(problems, fmt.Errorf("environment %q %w", c.environment, err))
	}
	if info, err := os.Stat(c.file); c.file != "" && err == nil && info.IsDir() {
		problems = append(problems, fmt.Errorf("file %s is a directory: name a file in it, such as %s", c.file, filepath.Join(c.file, "lkg.json")))
	}
	if c.server != "" {
		base, err := baseURL(c.server)
		c.server = base
		problems = append(problems, err)
	}
	for name, p := range c.policies {
		if err := p.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("policy of dependency %q: %w", name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("seatrial: open: %w", err)
	}
	return nil
}

// baseURL gives the server's URL without a slash at the end.
func baseURL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("server %q: give a URL such as https://seatrial.example.com", server)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("server %q: leave out user, query and fragment; the key goes into WithKey", u.Redacted())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// sendsKeyInClear reports whether the key would cross a network unencrypted.
func (c *config) sendsKeyInClear() bool {
	u, err := url.Parse(c.server)
	if err != nil || c.key == "" || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}
