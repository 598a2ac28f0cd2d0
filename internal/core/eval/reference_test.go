package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
	"github.com/twmb/murmur3"
)

// reference evaluates straight from the model, as its documentation reads, with no regard to time:
// it is what the compiled evaluator is compared with. It shares no code with it but targeting,
// which has oracles of its own.
type reference struct {
	set   flag.Set
	lists map[string][]string // members by hash key
}

// outcome is what the reference says of an evaluation.
type outcome struct {
	variant string
	reason  Reason
	trial   string
	role    Role
}

func (r reference) evaluate(key string, c Context) outcome {
	f := r.flag(key)
	byDefault := outcome{variant: f.DefaultVariant, reason: ReasonDefault}
	switch {
	case !f.Enabled || f.Archived:
		return outcome{reason: ReasonDisabled}
	case f.HasDefinition():
		return r.definition(f, c)
	}
	for _, p := range f.Prerequisites {
		if got := r.evaluate(p.Flag, c).variant; got == "" || !has(p.Variants, got) {
			return byDefault
		}
	}
	for _, o := range f.Overrides {
		if has(o.Units, c.TargetingKey) {
			return outcome{variant: o.Variant, reason: ReasonTargetingMatch}
		}
	}
	for _, rule := range f.Rules {
		if rule.When != nil && !r.meets(*rule.When, key, c) {
			continue
		}
		if rule.Split == nil {
			return outcome{variant: rule.Serve, reason: ReasonTargetingMatch}
		}
		if variant := r.split(key, *rule.Split, c); variant != "" {
			return outcome{variant: variant, reason: ReasonSplit}
		}
	}
	for _, a := range r.trials(key) {
		if variant, role := r.trial(a, c); role != RoleNone {
			return outcome{variant, ReasonSplit, a.Trial, role}
		}
	}
	if len(f.Prerequisites)+len(f.Overrides)+len(f.Rules)+len(r.trials(key)) == 0 && f.DefaultVariant != "" {
		byDefault.reason = ReasonStatic
	}
	return byDefault
}

func (r reference) flag(key string) flag.Flag {
	for _, f := range r.set.Flags {
		if f.Key == key {
			return f
		}
	}
	panic("no flag " + key)
}

func (r reference) definition(f flag.Flag, c Context) outcome {
	d, err := targeting.ParseDefinition(f.Definition, flag.Evaluators(r.set.Segments))
	if err != nil {
		panic(err)
	}
	i, reason, err := d.Decide(&targeting.Input{FlagKey: f.Key, TargetingKey: c.TargetingKey, Attributes: c.Attributes, Time: c.Time})
	switch {
	case err != nil:
		return outcome{reason: ReasonError}
	case i < 0:
		return outcome{reason: Reason(reason.String())}
	}
	return outcome{variant: d.Variants[i].Name, reason: Reason(reason.String())}
}

// place is flagd's bucket of salt:unit in [0, TotalWeight).
func place(salt, unit string) flag.Weight {
	scaled := new(big.Int).Mul(big.NewInt(int64(murmur3.Sum32([]byte(salt+":"+unit)))), big.NewInt(flag.TotalWeight))
	return flag.Weight(scaled.Rsh(scaled, 32).Int64())
}

// mayTry reports whether layers let a flag try something on the unit.
func (r reference) mayTry(key string, c Context) bool {
	for _, l := range r.set.Layers {
		salt := l.Salt
		if salt == "" {
			salt = l.Key
		}
		at, out := place(salt, c.TargetingKey), flag.TotalWeight-l.Holdout
		if l.Global && l.Holdout > 0 && (c.TargetingKey == "" || at >= out) {
			return false
		}
		for _, slot := range l.Slots {
			if slot.Flag == key && (c.TargetingKey == "" || at < slot.From || at >= slot.To || at >= out) {
				return false
			}
		}
	}
	return true
}

func (r reference) split(key string, s flag.Split, c Context) string {
	salt := s.Salt
	if salt == "" {
		salt = key
	}
	unit := c.TargetingKey
	if s.BucketBy != "" && s.BucketBy != "targetingKey" {
		unit = unitText(lookUp(c.Attributes, s.BucketBy))
	}
	if unit == "" || !r.mayTry(key, c) {
		return ""
	}
	at, from := place(salt, unit), flag.Weight(0)
	for _, w := range s.Weights {
		if from <= at && at < from+w.Weight {
			return w.Variant
		}
		from += w.Weight
	}
	return ""
}

// unitText is what tells units apart: a text, or the digits of a whole number. Of floats those
// count that surely are whole.
func unitText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	x, ok := asNumber(value)
	if !ok || !x.IsInt() {
		return ""
	}
	if beyond := new(big.Int).Abs(x.Num()).Cmp(big.NewInt(flag.MaxInteger)) > 0; beyond && reflect.ValueOf(value).CanFloat() {
		return ""
	}
	return x.Num().String()
}

func (r reference) trials(key string) (list []flag.Allocation) {
	for _, a := range r.set.Allocations {
		if a.Flag == key {
			list = append(list, a)
		}
	}
	return list // the sets of the test have them sorted
}

func (r reference) trial(a flag.Allocation, c Context) (string, Role) {
	if c.TargetingKey == "" || !r.mayTry(a.Flag, c) || a.Audience != nil && !r.meets(*a.Audience, a.Flag, c) {
		return "", RoleNone
	}
	var treatment, control flag.Weight
	for _, s := range a.Strata {
		in := len(s.Segments) == 0
		for _, key := range s.Segments {
			in = in || r.inSegment(key, a.Flag, c)
		}
		if in {
			treatment, control = max(treatment, s.Treatment), max(control, s.Control)
		}
	}
	switch at := place(a.Salt, c.TargetingKey); {
	case at < treatment:
		return a.Treatment, RoleTreatment
	case at >= flag.TotalWeight-control:
		return a.Control, RoleControl
	}
	return "", RoleNone
}

func (r reference) meets(n flag.Condition, key string, c Context) bool {
	switch {
	case len(n.All) > 0:
		for _, child := range n.All {
			if !r.meets(child, key, c) {
				return false
			}
		}
		return true
	case len(n.Any) > 0:
		for _, child := range n.Any {
			if r.meets(child, key, c) {
				return true
			}
		}
		return false
	case n.Not != nil:
		return !r.meets(*n.Not, key, c)
	case n.Segment != "":
		return r.inSegment(n.Segment, key, c)
	}
	value := lookUp(c.Attributes, n.Attribute)
	if n.Attribute == "targetingKey" {
		if value = nil; c.TargetingKey != "" {
			value = c.TargetingKey
		}
	}
	if n.Op == flag.OpExists {
		return value != nil
	}
	for _, raw := range n.Values {
		var want any
		if err := json.Unmarshal(raw, &want); err != nil {
			panic(err)
		}
		for _, one := range elements(n.Op, value) {
			if compare(n.Op, one, want) {
				return true
			}
		}
	}
	return false
}

func (r reference) inSegment(key, flagKey string, c Context) bool {
	for _, s := range r.set.Segments {
		if s.Key != key {
			continue
		}
		if s.HasRule() {
			p, err := targeting.Compile(s.Rule, nil)
			if err != nil {
				panic(err)
			}
			v, err := p.Evaluate(&targeting.Input{FlagKey: flagKey, TargetingKey: c.TargetingKey, Attributes: c.Attributes, Time: c.Time})
			return err == nil && targeting.Truthy(v)
		}
		listed := s.List != nil && has(r.lists[s.List.HashKey], c.TargetingKey)
		return has(s.Members, c.TargetingKey) || listed || s.When != nil && r.meets(*s.When, flagKey, c)
	}
	panic("no segment " + key)
}

func has(list []string, text string) bool {
	for _, one := range list {
		if one == text {
			return true
		}
	}
	return false
}

// lookUp goes along dots into objects and lists.
func lookUp(in any, name string) any {
	first, rest, more := strings.Cut(name, ".")
	var value any
	switch v := reflect.ValueOf(in); v.Kind() {
	case reflect.Map:
		if found := v.MapIndex(reflect.ValueOf(first)); found.IsValid() {
			value = found.Interface()
		}
	case reflect.Slice:
		for i := range v.Len() {
			if strconv.Itoa(i) == first {
				value = v.Index(i).Interface()
			}
		}
	}
	if more {
		return lookUp(value, rest)
	}
	return value
}

// elements are those of a list, and else the value itself. Lists have no version.
func elements(op flag.Op, value any) (list []any) {
	if strings.HasPrefix(string(op), "semver") {
		return []any{value}
	}
	switch value := value.(type) {
	case []any:
		return value
	case []string:
		for _, text := range value {
			list = append(list, text)
		}
		return list
	}
	return []any{value}
}

// asNumber gives any number exactly, infinities as what is beyond all others.
func asNumber(value any) (*big.Rat, bool) {
	x := new(big.Rat)
	switch v := reflect.ValueOf(value); {
	case v.IsValid() && v.CanInt():
		return x.SetInt64(v.Int()), true
	case v.IsValid() && v.CanUint():
		return x.SetUint64(v.Uint()), true
	case v.IsValid() && v.CanFloat() && math.IsInf(v.Float(), 0):
		x.SetInt(new(big.Int).Lsh(big.NewInt(1), 2_000))
		if v.Float() < 0 {
			x.Neg(x)
		}
		return x, true
	case v.IsValid() && v.CanFloat():
		return x, x.SetFloat64(v.Float()) != nil
	}
	return x, false
}

func compare(op flag.Op, value, want any) bool {
	text, isText := value.(string)
	wanted, _ := want.(string)
	x, isNumber := asNumber(value)
	y, wantNumber := asNumber(want)
	switch op {
	case flag.OpIn, flag.OpEquals:
		return isText && want == text || value == want && value != nil || isNumber && wantNumber && x.Cmp(y) == 0
	case flag.OpContains:
		return isText && strings.Contains(text, wanted)
	case flag.OpStartsWith:
		return isText && strings.HasPrefix(text, wanted)
	case flag.OpEndsWith:
		return isText && strings.HasSuffix(text, wanted)
	case flag.OpMatches:
		return isText && len(text) <= flag.MaxMatched && regexp.MustCompile(wanted).MatchString(text)
	case flag.OpInCIDR:
		return isText && inNetwork(text, wanted)
	case flag.OpLess:
		return isNumber && x.Cmp(y) < 0
	case flag.OpLessEq:
		return isNumber && x.Cmp(y) <= 0
	case flag.OpGreater:
		return isNumber && x.Cmp(y) > 0
	case flag.OpGreaterEq:
		return isNumber && x.Cmp(y) >= 0
	case flag.OpBefore, flag.OpAfter:
		at, ok := instantOf(value)
		limit, _ := instantOf(want)
		return ok && (op == flag.OpBefore && at.Cmp(limit) < 0 || op == flag.OpAfter && at.Cmp(limit) > 0)
	}
	relation, _ := strings.CutPrefix(string(op), "semver")
	if isNumber {
		float, _ := x.Float64()
		if v := reflect.ValueOf(value); v.CanFloat() {
			float = v.Float() // which may be -0
		}
		text, isText = strconv.FormatFloat(float, 'f', -1, 64), true
	}
	return isText && versionMeets(relation, text, wanted)
}

func inNetwork(text, network string) bool {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return false
	}
	if !strings.Contains(network, "/") {
		return address.Unmap() == netip.MustParseAddr(network)
	}
	return netip.MustParsePrefix(network).Contains(address.Unmap())
}

// instantOf gives Unix seconds.
func instantOf(value any) (*big.Rat, bool) {
	at, ok := value.(time.Time)
	if text, isText := value.(string); isText {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		at, ok = parsed, err == nil
	}
	if !ok {
		return asNumber(value)
	}
	seconds := new(big.Rat).SetInt64(at.Unix())
	return seconds.Add(seconds, big.NewRat(int64(at.Nanosecond()), 1e9)), true
}

// versionPattern is semver.org's own, with a leading v and missing parts allowed.
var versionPattern = regexp.MustCompile(`^[vV]?(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+[0-9a-zA-Z-.]+)?)?)?$`)

func versionMeets(relation, text, wanted string) bool {
	a, b := versionPattern.FindStringSubmatch(text), versionPattern.FindStringSubmatch(wanted)
	if a == nil || b == nil {
		return false
	}
	order := 0
	for i := 3; i >= 1; i-- { // the last difference wins, so the major part comes last
		if wholeNumber(a[i]).BitLen() > 64 {
			return false
		}
		if difference := wholeNumber(a[i]).Cmp(wholeNumber(b[i])); difference != 0 {
			order = difference
		}
	}
	if order == 0 {
		order = comparePrerelease(a[4], b[4])
	}
	switch relation {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "~":
		return wholeNumber(a[1]).Cmp(wholeNumber(b[1])) == 0 && wholeNumber(a[2]).Cmp(wholeNumber(b[2])) == 0
	case "^":
		return wholeNumber(a[1]).Cmp(wholeNumber(b[1])) == 0
	}
	panic(fmt.Sprintf("no relation %q", relation))
}

func wholeNumber(digits string) *big.Int {
	n, _ := new(big.Int).SetString("0"+digits, 10)
	return n
}

// comparePrerelease knows the test's few prereleases only.
func comparePrerelease(a, b string) int {
	order := map[string]int{"alpha": 1, "rc.1": 2, "rc.2": 3, "rc.10": 4, "": 5}
	if order[a] == 0 || order[b] == 0 {
		panic("unknown prerelease " + a + " or " + b)
	}
	return order[a] - order[b]
}
