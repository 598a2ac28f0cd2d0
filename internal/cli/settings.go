package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

// This file reads the settings of serve: flag > SEATRIAL_* > file > default.

// settings are what serve can be told.
type settings struct {
	addr, data, environment string
	alsoListen              []string
	openEvaluation          bool
	publicURL               string
	webhookAllow            []netip.Prefix
	fourEyes                map[string]flag.Weight
	logLevel                slog.Level
	logFormat               string
	acceptLoss              bool
	drainDelay              time.Duration
	maxConnections          int
	prometheus              prometheusSettings
}

// prometheusSettings say where Prometheus is and how to ask it.
type prometheusSettings struct {
	url, tokenFile, user, passwordFile string
	lag, align                         time.Duration
}

// setting is one of them. The flag --drain-delay, the variable SEATRIAL_DRAIN_DELAY and the
// file's key drainDelay are one name in three notations.
type setting struct {
	name, value, usage string // value: the default
	set                func(*settings, string) error
}

func serveSettings() []setting {
	return []setting{
		{"addr", "127.0.0.1:8420", "address to listen on; :8420 for every interface", func(s *settings, v string) error { s.addr = v; return nil }},
		{"also-listen", "", "more addresses for the same, with commas between, such as :8013,:8015,:8016 for flagd's conventional ports", func(s *settings, v string) error {
			s.alsoListen = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
			return nil
		}},
		{"public-url", "", "where people reach the server, for links in webhooks, such as https://seatrial.example.com", func(s *settings, v string) error {
			s.publicURL = v
			return nil
		}},
		{"webhook-allow", "", "networks that webhooks may call although they are not on the internet, with commas between, such as 10.0.0.0/8", func(s *settings, v string) (err error) {
			s.webhookAllow, err = readNetworks(v)
			return err
		}},
		{"four-eyes", "", "share above which an experiment needs the approval of somebody else than who starts it, such as 5% or production=5%; with commas between", func(s *settings, v string) (err error) {
			s.fourEyes, err = readFourEyes(v)
			return err
		}},
		{"prometheus-url", "", "Prometheus that guardrails may pull counts from, such as http://prometheus:9090", func(s *settings, v string) error { s.prometheus.url = v; return nil }},
		{"prometheus-token-file", "", "file with the bearer token for it", func(s *settings, v string) error { s.prometheus.tokenFile = v; return nil }},
		{"prometheus-user", "", "user for it, with --prometheus-password-file", func(s *settings, v string) error { s.prometheus.user = v; return nil }},
		{"prometheus-password-file", "", "file with that user's password", func(s *settings, v string) error { s.prometheus.passwordFile = v; return nil }},
		{"prometheus-lag", "30s", "how long to wait for scrapes; more than the scrape timeout", func(s *settings, v string) (err error) {
			s.prometheus.lag, err = positiveTime(v)
			return err
		}},
		{"prometheus-align", "1m", "pulls begin and end at multiples of this; a multiple of the scrape interval", func(s *settings, v string) (err error) {
			s.prometheus.align, err = positiveTime(v)
			return err
		}},
		{"data", defaultDataDir(), "folder of the change log", func(s *settings, v string) error { s.data = v; return nil }},
		{"environment", "default", "name of the environment, as telemetry shows it", func(s *settings, v string) error { s.environment = v; return nil }},
		{"log-level", "info", "debug, info, warn or error", func(s *settings, v string) error {
			if err := s.logLevel.UnmarshalText([]byte(v)); err != nil {
				return fmt.Errorf("%q: use debug, info, warn or error", v)
			}
			return nil
		}},
		{"log-format", "text", "text or json", func(s *settings, v string) error {
			s.logFormat = v
			if v != "text" && v != "json" {
				return fmt.Errorf("%q: use text or json", v)
			}
			return nil
		}},
		{"open-evaluation", "false", "let clients evaluate and sync flags without a key (OFREP, flagd)", func(s *settings, v string) (err error) {
			if s.openEvaluation, err = strconv.ParseBool(v); err != nil {
				return fmt.Errorf("%q: use true or false", v)
			}
			return nil
		}},
		{"accept-loss", "false", "start although acknowledged changes are missing, and begin a new history", func(s *settings, v string) (err error) {
			if s.acceptLoss, err = strconv.ParseBool(v); err != nil {
				return fmt.Errorf("%q: use true or false", v)
			}
			return nil
		}},
		{"drain-delay", "0s", "how long to go on after /readyz fails, for load balancers to notice", func(s *settings, v string) (err error) {
			if s.drainDelay, err = time.ParseDuration(v); err != nil {
				return fmt.Errorf("%q: write a time such as 5s", v)
			}
			return nil
		}},
		{"max-connections", "12000", "open connections at most", func(s *settings, v string) (err error) {
			if s.maxConnections, err = strconv.Atoi(v); err != nil {
				return fmt.Errorf("%q: write a number", v)
			}
			return nil
		}},
	}
}

// joined is a flag that may be given more than once: the values with commas between.
type joined string

func (j *joined) Set(text string) error {
	*j = joined(strings.TrimPrefix(string(*j)+","+text, ","))
	return nil
}
func (j *joined) String() string { return string(*j) }
func (*joined) Type() string     { return "string" }

func positiveTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: write a time such as 30s", text)
	}
	return d, nil
}

// readNetworks reads networks and single addresses.
func readNetworks(text string) (list []netip.Prefix, err error) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		network, err := netip.ParsePrefix(word)
		if ip, single := netip.ParseAddr(word); single == nil {
			network, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil || network.Addr().Is4In6() || network.Addr().Zone() != "" {
			return nil, fmt.Errorf("%q: write networks such as 10.0.0.0/8 or fd00::/8, with commas between", word)
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

// readFourEyes reads shares, each of an environment, or without one of all others.
func readFourEyes(text string) (map[string]flag.Weight, error) {
	limits := map[string]flag.Weight{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		environment, share, named := strings.Cut(word, "=")
		if !named {
			environment, share = "", word
		}
		limit, err := parsePlace(share)
		if err != nil || named && environment == "" {
			return nil, fmt.Errorf("%q: write a percentage such as 5%%, or production=5%%", word)
		}
		limits[environment] = limit
	}
	return limits, nil
}

// defaultDataDir is where a server of this user keeps its log.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "seatrial")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "seatrial-data"
	}
	return filepath.Join(home, ".local", "share", "seatrial")
}

func (s setting) variable() string {
	return "SEATRIAL_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// fileKey is the name in a file: camelCase.
func (s setting) fileKey() string {
	words := strings.Split(s.name, "-")
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
	}
	return strings.Join(words, "")
}

// settingsHelp is the table for the help of serve.
func settingsHelp() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %-18s %-26s %s\n", "FILE", "ENVIRONMENT", "DEFAULT")
	for _, s := range serveSettings() {
		fmt.Fprintf(&b, "  %-18s %-26s %s\n", s.fileKey(), s.variable(), shownDefault(s))
	}
	return strings.TrimRight(b.String(), "\n")
}

// shownDefault keeps the home folder of whoever asks out of the help.
func shownDefault(s setting) string {
	if s.name == "data" {
		return "$XDG_DATA_HOME/seatrial or ~/.local/share/seatrial"
	}
	return s.value
}

// withSettings adds one flag for each setting.
func withSettings(cmd *cobra.Command) {
	for _, s := range serveSettings() {
		switch s.name {
		case "accept-loss":
			cmd.Flags().Bool(s.name, false, s.usage)
			continue
		case "webhook-allow":
			cmd.Flags().Var(new(joined), s.name, s.usage+"; may be given more than once")
			continue
		}
		cmd.Flags().String(s.name, "", s.usage+" (default "+shownDefault(s)+")")
	}
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
	completeWords(cmd, "log-format", "text", "json")
}

// readSettings takes each setting from the first place that has it.
func (a *app) readSettings(cmd *cobra.Command, file string) (settings, error) {
	var s settings
	fromFile, err := a.settingsFile(firstOf(file, a.getenv("SEATRIAL_CONFIG")))
	if err != nil {
		return s, err
	}
	for _, one := range serveSettings() {
		value, from := one.value, "the default"
		if v, ok := fromFile[one.fileKey()]; ok {
			value, from = v, one.fileKey()
		}
		if v := a.getenv(one.variable()); v != "" {
			value, from = v, one.variable()
		}
		if f := cmd.Flags().Lookup(one.name); f != nil && f.Changed {
			value, from = f.Value.String(), "--"+one.name
		}
		if err := one.set(&s, value); err != nil {
			return s, usage(fmt.Errorf("%s: %w", from, err))
		}
	}
	return s, nil
}

// settingsFile reads the file strictly; no file gives nothing.
func (a *app) settingsFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	document, err := a.readDocument(path)
	if err != nil {
		return nil, usage(fmt.Errorf("--config: %w", err))
	}
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber() // 1000000 stays as it was written
	if err := decoder.Decode(&fields); err != nil {
		return nil, usage(fmt.Errorf("%s: must hold keys and values, such as \"addr: 127.0.0.1:8420\"", path))
	}
	known := map[string]bool{}
	for _, s := range serveSettings() {
		known[s.fileKey()] = true
	}
	values := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if !known[key] {
			return nil, usage(fmt.Errorf("%s: key %q is unknown%s", path, key, flag.Suggest(key, maps.Keys(known))))
		}
		switch fields[key].(type) {
		case map[string]any, []any, nil:
			return nil, usage(fmt.Errorf("%s: key %q must have a plain value", path, key))
		}
		values[key] = fmt.Sprint(fields[key])
	}
	return values, nil
}

// otherVariables are those that the SDK, the other commands and the tests read.
var otherVariables = []string{"SEATRIAL_CONFIG", "SEATRIAL_SERVER", "SEATRIAL_TOKEN", "SEATRIAL_KEY", "SEATRIAL_FAULTS", "SEATRIAL_FAULTS_FILE", "SEATRIAL_TEST_REQUIRE"}

// misspeltVariable names a SEATRIAL_* variable that nobody reads but that is near to one that
// serve does. Others may belong to somebody else's program.
func misspeltVariable(environ []string) string {
	var known []string
	for _, s := range serveSettings() {
		known = append(known, s.variable())
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "SEATRIAL_") || slices.Contains(known, name) || slices.Contains(otherVariables, name) {
			continue
		}
		short := namesOf(known, func(k string) string { return strings.TrimPrefix(k, "SEATRIAL_") })
		if hint := flag.Suggest(strings.TrimPrefix(name, "SEATRIAL_"), slices.Values(short)); hint != "" {
			return fmt.Sprintf("variable %s is unknown%s", name, strings.Replace(hint, `"`, `"SEATRIAL_`, 1))
		}
	}
	return ""
}

func (s settings) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.logLevel}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
