package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// job is one import.
type job struct {
	opt      Options
	result   Result
	names    map[string]string // of flags, by key
	segments map[string]string // keys of segments, by the other system's name
	taken    map[string]bool   // keys of segments
	moved    map[string]bool   // keys of flags whose users are dealt out anew
}

func newJob(opt Options) *job {
	return &job{opt: opt, names: map[string]string{}, segments: map[string]string{}, taken: map[string]bool{}, moved: map[string]bool{}}
}

func (j *job) note(of string, level Level, format string, args ...any) {
	j.result.Notes = append(j.result.Notes, Note{of, level, fmt.Sprintf(format, args...)})
}

// place is where something stands in the file: "rule 2, clause 1".
type place string

func (p place) at(what string, i int) place {
	if p != "" {
		p += ", "
	}
	return p + place(what+" "+strconv.Itoa(i+1))
}

func (p place) errorf(format string, args ...any) error {
	if p == "" {
		return fmt.Errorf(format, args...)
	}
	return fmt.Errorf(string(p)+": "+format, args...)
}

// key gives a valid key for a name: what no key may have becomes a dash. Two names never get the
// same key but by chance of 2^-32.
func key(name string) string {
	if flag.CheckKey(name) == nil {
		return name
	}
	good := strings.Map(func(r rune) rune {
		if flag.CheckKey(string(r)) == nil || r == '/' || r == '.' {
			return r
		}
		return '-'
	}, name)
	sum := fmt.Sprintf("-%08x", crc32.ChecksumIEEE([]byte(name)))
	good = strings.ReplaceAll(strings.ReplaceAll(good, "/.", "/-"), "./", "-/")
	if good = strings.Trim(good, "."); len(good) > flag.MaxKey-len(sum) {
		good = good[:flag.MaxKey-len(sum)]
	}
	return good + sum
}

// draft is a flag that is being put together.
type draft struct {
	*job
	name  string
	flag  flag.Flag
	lossy bool
}

func (j *job) draft(name string) *draft {
	return &draft{job: j, name: name, flag: flag.Flag{Key: key(name), Kind: flag.KindRelease, Enabled: true}}
}

// differs notes what is not the same here.
func (d *draft) differs(format string, args ...any) {
	d.lossy = true
	d.note(d.name, Lossy, format, args...)
}

// finish adds the flag, or says why it cannot be added.
func (d *draft) finish(err error) {
	switch {
	case err != nil:
		d.note(d.name, Skipped, "%v", err)
		return
	case d.names[d.flag.Key] != "":
		d.note(d.name, Skipped, "the file has the flag twice")
		return
	}
	d.names[d.flag.Key] = d.name
	if d.flag.Key != d.name {
		d.differs("the key has characters that no key here can have; it is imported as %q, ask for that", d.flag.Key)
	}
	switch {
	case d.moved[d.flag.Key]:
		d.note(d.name, Rebucketed, "who is in a percentage is dealt out anew, as the hash differs; everybody else keeps the variant")
	case !d.lossy:
		d.note(d.name, Kept, "everybody keeps the variant: it depends on no hash")
	}
	d.result.Flags = append(d.result.Flags, d.flag)
}

// part is a variant's part of 1.
type part struct {
	variant string
	of      float64
}

// rule gives a rule that serves the parts. One that gives everything to one variant serves it to
// all; with others the note says how many of those whom it concerns change variant: those who get
// another one from two independent hashes, so the share is 1 minus the sum of the squared parts. It
// is less if what the parts leave free, which goes on to the next rule, ends with one of them, too.
func (d *draft) rule(at place, when *flag.Condition, salt, bucketBy string, parts []part) flag.Rule {
	for _, p := range parts {
		if p.of >= 1 {
			return flag.Rule{When: when, Serve: p.variant}
		}
	}
	weights, rest, same := d.weights(parts), 1.0, 0.0
	for _, p := range parts {
		rest, same = rest-p.of, same+p.of*p.of
	}
	rest = max(rest, 0)
	if moves := 1 - same - rest*rest; moves > 1e-9 {
		d.moved[d.flag.Key] = true
		about := "of those who match, up to %.4g %% change variant"
		if when == nil {
			about = "of those who get there, up to %.4g %% change variant"
		}
		d.note(d.name, Rebucketed, string(at)+": "+shown(parts)+" is hashed in another way; "+about, 100*moves)
	}
	if salt = key(salt); salt == d.flag.Key {
		salt = ""
	}
	return flag.Rule{When: when, Split: &flag.Split{Salt: salt, BucketBy: bucketBy, Weights: weights}}
}

// shown writes parts for people: the percent signs are for a format.
func shown(parts []part) string {
	var all []string
	for _, p := range parts {
		all = append(all, fmt.Sprintf("%.5g %%%% %s", 100*p.of, strings.ReplaceAll(p.variant, "%", "")))
	}
	return strings.Join(all, ", ")
}

// weights rounds the parts to weights whose sum is that of the parts, so that no part is off by more
// than one unit.
func (d *draft) weights(parts []part) []flag.Share {
	shares, sum, given := make([]flag.Share, len(parts)), 0.0, flag.Weight(0)
	for i, p := range parts {
		sum += max(p.of, 0)
		upTo := min(flag.Weight(sum*flag.TotalWeight+0.5), flag.TotalWeight)
		shares[i] = flag.Share{Variant: p.variant, Weight: upTo - given}
		given = upTo
	}
	return shares
}

// variants gives the flag variants for values, and their names for the values in the order given;
// equal values get one variant. Names may be empty. A value of null has no variant and no name.
func (d *draft) variants(values []json.RawMessage, names []string) ([]string, error) {
	given := make([]string, len(values))
	var distinct []json.RawMessage
	for i, value := range values {
		value = compact(value)
		if string(value) == "null" {
			continue
		}
		at := slices.IndexFunc(distinct, func(other json.RawMessage) bool { return bytes.Equal(value, other) })
		if at < 0 {
			at = len(distinct)
			distinct = append(distinct, value)
			name := ""
			if i < len(names) {
				name = names[i]
			}
			d.flag.Variants = append(d.flag.Variants, flag.Variant{Name: d.variantName(name, value), Value: value})
		}
		given[i] = d.flag.Variants[at].Name
	}
	var err error
	d.flag.Type, err = sharedType(distinct)
	return given, err
}

// variantName gives a name that no variant has yet: the given one, or the value, if one can be a
// name.
func (d *draft) variantName(name string, value json.RawMessage) string {
	const longest = 40
	taken := func(name string) bool {
		return slices.ContainsFunc(d.flag.Variants, func(v flag.Variant) bool { return v.Name == name })
	}
	said := string(value)
	if json.Unmarshal(value, &said) != nil {
		said = string(value)
	}
	for _, name := range []string{name, said} {
		if flag.CheckKey(name) == nil && len(name) <= longest && !taken(name) {
			return name
		}
	}
	for i := len(d.flag.Variants) + 1; ; i++ {
		if name := "variant-" + strconv.Itoa(i); !taken(name) {
			return name
		}
	}
}

func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil || b.Len() == 0 {
		return json.RawMessage("null")
	}
	return b.Bytes()
}

// sharedType gives the type of all values.
func sharedType(values []json.RawMessage) (flag.Type, error) {
	if len(values) == 0 {
		return "", errors.New("it has no values")
	}
	for _, t := range []flag.Type{flag.TypeBoolean, flag.TypeString, flag.TypeInteger, flag.TypeFloat, flag.TypeObject} {
		if !slices.ContainsFunc(values, func(v json.RawMessage) bool { _, err := flag.DecodeValue(t, v); return err != nil }) {
			return t, nil
		}
	}
	return "", errors.New("its values are lists, or of several types; a flag here has values of one type: boolean, string, number or object")
}

// Conditions.

func all(conditions ...flag.Condition) flag.Condition {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return flag.Condition{All: conditions}
}

func anyOf(conditions ...flag.Condition) flag.Condition {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return flag.Condition{Any: conditions}
}

func not(c flag.Condition) flag.Condition {
	if c.Not != nil {
		return *c.Not
	}
	return flag.Condition{Not: &c}
}

func clause(attribute string, op flag.Op, values ...json.RawMessage) flag.Condition {
	return flag.Condition{Attribute: attribute, Op: op, Values: values}
}

func exists(attribute string) flag.Condition { return clause(attribute, flag.OpExists) }

// isIn is the clause that an attribute is one of the values, in as many clauses as it takes. Without
// values nobody meets it.
func isIn(attribute string, values []json.RawMessage) flag.Condition {
	if len(values) == 0 {
		return all(exists(attribute), not(exists(attribute)))
	}
	var clauses []flag.Condition
	for chunk := range slices.Chunk(values, flag.MaxValues) {
		clauses = append(clauses, clause(attribute, flag.OpIn, chunk...))
	}
	return anyOf(clauses...)
}

// eachOf is the condition that the operator, which takes one value, holds for one of the values.
func eachOf(attribute string, op flag.Op, values []json.RawMessage) flag.Condition {
	clauses := make([]flag.Condition, len(values))
	for i, value := range values {
		clauses[i] = clause(attribute, op, value)
	}
	return anyOf(clauses...)
}

func text(s string) json.RawMessage {
	data, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string can always be written
	}
	return data
}

func texts(all []string) []json.RawMessage {
	values := make([]json.RawMessage, len(all))
	for i, s := range all {
		values[i] = text(s)
	}
	return values
}

// when gives the conditions that must all hold, nil if there are none.
func when(conditions []flag.Condition) *flag.Condition {
	if len(conditions) == 0 {
		return nil
	}
	c := all(conditions...)
	return &c
}

// Segments.

// segment gives the key under which the other system's segment is imported.
func (j *job) segment(name string) string {
	k := j.segments[name]
	if k == "" {
		k = key(name)
		for i := 2; j.taken[k]; i++ {
			k = key(name + "-" + strconv.Itoa(i))
		}
		j.segments[name], j.taken[k] = k, true
	}
	return k
}

func (j *job) addSegment(name string, s flag.Segment) {
	s.Key = j.segment(name)
	j.result.Segments = append(j.result.Segments, s)
}

// finish sorts the result and leaves out what is not valid, with a note, and then what needed that.
func (j *job) finish() *Result {
	r := &j.result
	slices.SortFunc(r.Flags, func(a, b flag.Flag) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(r.Segments, func(a, b flag.Segment) int { return cmp.Compare(a.Key, b.Key) })
	if len(r.Flags) > flag.MaxFlags {
		for _, f := range r.Flags[flag.MaxFlags:] {
			j.skip(f.Key, fmt.Sprintf("there are more than %d flags", flag.MaxFlags))
		}
		r.Flags = r.Flags[:flag.MaxFlags]
	}
	for {
		var problems *flag.Problems
		if !errors.As(flag.Set{Flags: r.Flags, Segments: r.Segments}.Validate(), &problems) {
			break
		}
		if !j.leaveOut(problems) {
			j.note("", Skipped, "nothing is imported: %v", problems)
			r.Flags, r.Segments = nil, nil
			break
		}
	}
	j.noteDependents()
	slices.SortStableFunc(r.Notes, func(a, b Note) int { return cmp.Compare(a.Flag, b.Flag) })
	return r
}

// noteDependents says of flags that need others that are dealt out anew that they are, too.
func (j *job) noteDependents() {
	for again := true; again; {
		again = false
		for _, f := range j.result.Flags {
			i := slices.IndexFunc(f.Prerequisites, func(p flag.Prerequisite) bool { return j.moved[p.Flag] })
			if i < 0 || j.moved[f.Key] {
				continue
			}
			j.moved[f.Key], again = true, true
			name := j.names[f.Key]
			j.result.Notes = slices.DeleteFunc(j.result.Notes, func(n Note) bool { return n.Flag == name && n.Level == Kept })
			j.note(name, Rebucketed, "it needs flag %q, whose percentages are dealt out anew", f.Prerequisites[i].Flag)
		}
	}
}

// leaveOut removes the flags and segments that have problems; false if there are none.
func (j *job) leaveOut(problems *flag.Problems) bool {
	flags, segments := map[int]string{}, map[int]string{}
	for _, one := range problems.List {
		parts := strings.SplitN(one.Pointer, "/", 4)
		if len(parts) < 3 {
			continue
		}
		i, err := strconv.Atoi(parts[2])
		into := map[string]map[int]string{"flags": flags, "segments": segments}[parts[1]]
		if err == nil && into != nil && into[i] == "" {
			into[i] = strings.Join(parts[3:], "") + " " + one.Detail
		}
	}
	r := &j.result
	for i, why := range flags {
		j.skip(r.Flags[i].Key, why)
	}
	for i, why := range segments {
		j.note("segment "+r.Segments[i].Key, Skipped, "%s", why)
	}
	r.Flags, r.Segments = without(r.Flags, flags), without(r.Segments, segments)
	return len(flags)+len(segments) > 0
}

// skip replaces the notes of a flag by why it is left out.
func (j *job) skip(k, why string) {
	name := j.names[k]
	j.result.Notes = slices.DeleteFunc(j.result.Notes, func(n Note) bool { return n.Flag == name })
	j.note(name, Skipped, "%s", strings.TrimSpace(why))
}

func without[T any](all []T, out map[int]string) []T {
	var kept []T
	for i, one := range all {
		if _, gone := out[i]; !gone {
			kept = append(kept, one)
		}
	}
	return kept
}
