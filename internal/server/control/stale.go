package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Usage tells when flags were evaluated. Implementations are safe for concurrent use and answer
// from memory.
type Usage interface {
	// LastSeen gives when a flag was last evaluated anywhere, false if that is not known.
	LastSeen(flag string) (time.Time, bool)
	// Since gives from when on evaluations have been noted.
	Since() time.Time
	// Seen notes an evaluation of now; an empty variant is the code default.
	Seen(flag, variant string)
}

// Evaluated notes that a flag gave somebody a variant, now, for StaleFlags.
func (s *Service) Evaluated(flag, variant string) {
	if s.cfg.Usage != nil {
		s.cfg.Usage.Seen(flag, variant)
	}
}

// StaleCode says why a flag is stale.
type StaleCode string

// The reasons.
const (
	StaleExpired  StaleCode = "expired"   // its day has come
	StaleOneSided StaleCode = "one_sided" // a release flag that gives everybody the same, for 14 days
	StaleUnused   StaleCode = "unused"    // nobody has asked for it for 14 days
	StaleDisabled StaleCode = "disabled"  // switched off for 30 days
)

// How long a flag may be so before it counts as stale.
const (
	oneSidedAfter = 14 * 24 * time.Hour
	unusedAfter   = 14 * 24 * time.Hour
	disabledAfter = 30 * 24 * time.Hour
)

// StaleReason is one reason. Detail is a sentence for people.
type StaleReason struct {
	Code   StaleCode `json:"code"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// StaleFlag is a flag that should be looked at, probably for removal.
type StaleFlag struct {
	Flag    string        `json:"flag"`
	Reasons []StaleReason `json:"reasons"`
}

// StaleReport is what should be looked at now.
type StaleReport struct {
	Items []StaleFlag `json:"items"` // by key
	// UsageSince is from when on evaluations have been noted; zero if they are not.
	UsageSince time.Time `json:"usageSince,omitzero"`
}

// StaleFlags reports the flags that seem to be done with. Archived flags are not reported, as
// somebody has dealt with them; and only release flags can be one-sided, since the others are
// meant to rest at one value.
func (s *Service) StaleFlags() StaleReport {
	now, usage := s.now(), s.cfg.Usage
	report := StaleReport{Items: []StaleFlag{}}
	if usage != nil {
		report.UsageSince = usage.Since().UTC()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	tried := s.state.lastTrials()
	for key, entry := range s.state.flags {
		if entry.Archived {
			continue
		}
		a := s.state.ages[key]
		reasons := slices.Concat(expired(entry.Flag, now), oneSided(entry.Flag, a, tried[key], now), unused(key, a, usage, now), disabled(entry.Flag, a, now))
		if len(reasons) > 0 {
			report.Items = append(report.Items, StaleFlag{Flag: key, Reasons: reasons})
		}
	}
	slices.SortFunc(report.Items, func(a, b StaleFlag) int { return strings.Compare(a.Flag, b.Flag) })
	return report
}

// trialTimes are the times of the trials on a flag.
type trialTimes struct {
	running bool
	ended   time.Time // of the last one
}

func (p *projection) lastTrials() map[string]trialTimes {
	tried := map[string]trialTimes{}
	for _, entry := range p.trials {
		t := tried[entry.Spec.Flag]
		if !entry.State.Ended() {
			t.running = true
		} else if at := entry.State.UpdatedAt; at.After(t.ended) {
			t.ended = at
		}
		tried[entry.Spec.Flag] = t
	}
	return tried
}

func expired(f flag.Flag, now time.Time) []StaleReason {
	day, err := time.Parse(time.DateOnly, f.Expires)
	if err != nil || now.Before(day) {
		return nil
	}
	return []StaleReason{{StaleExpired, fmt.Sprintf("It was meant to be removed by %s.", f.Expires), day}}
}

func oneSided(f flag.Flag, a ages, tried trialTimes, now time.Time) []StaleReason {
	since := a.changed
	if tried.ended.After(since) {
		since = tried.ended
	}
	if f.Kind != flag.KindRelease || !f.Enabled || tried.running || now.Sub(since) < oneSidedAfter {
		return nil
	}
	variant, only := onlyVariant(f)
	if !only {
		return nil
	}
	what := fmt.Sprintf("variant %q", variant)
	if variant == "" {
		what = "the code's default"
	}
	return []StaleReason{{StaleOneSided, fmt.Sprintf("Everybody gets %s: keep that in the code, and remove the flag.", what), since}}
}

// onlyVariant gives the variant that everybody gets, "" for the code's default; only is false if
// there may be more than one.
func onlyVariant(f flag.Flag) (variant string, only bool) {
	if f.HasDefinition() {
		return onlyOfDefinition(f.Definition)
	}
	served := map[string]bool{}
	for _, o := range f.Overrides {
		served[o.Variant] = true
	}
	all := false // a rule leaves nobody
	for _, r := range f.Rules {
		if r.Split == nil {
			served[r.Serve] = true
		} else {
			for _, share := range r.Split.Weights {
				if share.Weight > 0 {
					served[share.Variant] = true
				}
			}
		}
		if all = r.When == nil && r.Split == nil; all {
			break
		}
	}
	if !all || len(f.Prerequisites) > 0 {
		served[f.DefaultVariant] = true
	}
	for variant = range served {
	}
	return variant, len(served) == 1
}

// onlyOfDefinition looks at a flagd definition: without targeting everybody gets its default.
func onlyOfDefinition(raw json.RawMessage) (variant string, only bool) {
	var d struct {
		State          string          `json:"state"`
		DefaultVariant string          `json:"defaultVariant"`
		Targeting      json.RawMessage `json:"targeting"`
	}
	if json.Unmarshal(raw, &d) != nil || d.State == "DISABLED" {
		return "", false
	}
	targeting := strings.Join(strings.Fields(string(d.Targeting)), "")
	return d.DefaultVariant, targeting == "" || targeting == "{}" || targeting == "null"
}

func unused(key string, a ages, usage Usage, now time.Time) []StaleReason {
	if usage == nil {
		return nil
	}
	seen, ever := usage.LastSeen(key)
	detail := "It was last asked for on " + seen.UTC().Format(time.DateOnly) + "."
	if !ever {
		seen, detail = usage.Since(), "Nobody has asked for it since evaluations have been noted."
	}
	if a.created.After(seen) { // a flag is given time to be built in
		seen, detail = a.created, "Nobody has asked for it since it was created."
	}
	if now.Sub(seen) < unusedAfter {
		return nil
	}
	return []StaleReason{{StaleUnused, detail, seen.UTC()}}
}

func disabled(f flag.Flag, a ages, now time.Time) []StaleReason {
	if f.Enabled || now.Sub(a.disabled) < disabledAfter {
		return nil
	}
	return []StaleReason{{StaleDisabled, "It is switched off, so everybody gets the code's default.", a.disabled}}
}
