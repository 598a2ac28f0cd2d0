package flag

import (
	"bytes"
	"encoding/json"
	"slices"
)

// The equal methods compare what JSON would show: nil and empty lists are the same, and so are
// values that differ in insignificant space only. A test changes every field once, so that a
// field added to the model cannot be forgotten here.

func (f *Flag) equal(g *Flag) bool {
	return f.Key == g.Key && f.Kind == g.Kind && f.Type == g.Type && f.Description == g.Description &&
		f.Owner == g.Owner && f.Expires == g.Expires && f.Archived == g.Archived &&
		f.ClientSide == g.ClientSide && f.Enabled == g.Enabled && f.DefaultVariant == g.DefaultVariant &&
		slices.Equal(f.Tags, g.Tags) && equalJSON(f.Schema, g.Schema) && equalJSON(f.Definition, g.Definition) &&
		slices.EqualFunc(f.Variants, g.Variants, Variant.equal) &&
		slices.EqualFunc(f.Prerequisites, g.Prerequisites, Prerequisite.equal) &&
		slices.EqualFunc(f.Overrides, g.Overrides, Override.equal) &&
		slices.EqualFunc(f.Rules, g.Rules, Rule.equal)
}

func (p Prerequisite) equal(q Prerequisite) bool {
	return p.Flag == q.Flag && slices.Equal(p.Variants, q.Variants)
}

func (o Override) equal(p Override) bool {
	return o.Variant == p.Variant && slices.Equal(o.Units, p.Units)
}

func (v Variant) equal(w Variant) bool { return v.Name == w.Name && equalJSON(v.Value, w.Value) }

func equalJSON(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || bytes.Equal(compact(a), compact(b))
}

func (r Rule) equal(q Rule) bool {
	return r.Name == q.Name && r.Serve == q.Serve && r.When.equal(q.When) && r.Split.equal(q.Split)
}

func (s *Split) equal(t *Split) bool {
	if s == nil || t == nil {
		return s == t
	}
	return s.Salt == t.Salt && s.BucketBy == t.BucketBy && slices.Equal(s.Weights, t.Weights)
}

func (c *Condition) equal(d *Condition) bool {
	if c == nil || d == nil {
		return c == d
	}
	children := func(a, b Condition) bool { return a.equal(&b) }
	return c.Segment == d.Segment && c.Attribute == d.Attribute && c.Op == d.Op &&
		slices.EqualFunc(c.Values, d.Values, equalJSON) && c.Not.equal(d.Not) &&
		slices.EqualFunc(c.All, d.All, children) && slices.EqualFunc(c.Any, d.Any, children)
}

func (s *Segment) equal(t *Segment) bool {
	return s.Key == t.Key && s.Description == t.Description && slices.Equal(s.Members, t.Members) &&
		s.When.equal(t.When) && s.List.equal(t.List) && equalJSON(s.Rule, t.Rule)
}

func (l *List) equal(m *List) bool {
	if l == nil || m == nil {
		return l == m
	}
	return l.HashKey == m.HashKey && l.Count == m.Count && slices.Equal(l.Parts, m.Parts)
}

func (l *Layer) equal(m *Layer) bool {
	return l.Key == m.Key && l.Description == m.Description && l.Salt == m.Salt &&
		l.Holdout == m.Holdout && l.Global == m.Global && slices.Equal(l.Slots, m.Slots)
}

func (a *Allocation) equal(b *Allocation) bool {
	return a.Trial == b.Trial && a.Flag == b.Flag && a.Version == b.Version && a.Step == b.Step &&
		a.Salt == b.Salt && a.Treatment == b.Treatment && a.Control == b.Control &&
		a.Audience.equal(b.Audience) && slices.EqualFunc(a.Strata, b.Strata, Stratum.equal) &&
		slices.Equal(a.Events, b.Events) && a.Fault == b.Fault && a.Secret == b.Secret
}

func (s Stratum) equal(t Stratum) bool {
	return s.Treatment == t.Treatment && s.Control == t.Control && slices.Equal(s.Segments, t.Segments)
}

// compact gives raw as encoding/json writes it inside a document, without insignificant space and
// with < > & escaped, or raw itself if that is how it is or it is not JSON. A missing value is the
// null that JSON shows for it.
func compact(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	if !bytes.ContainsAny(raw, " \t\r\n<>&\u2028\u2029") {
		return raw
	}
	var tight, escaped bytes.Buffer
	if json.Compact(&tight, raw) != nil {
		return raw
	}
	json.HTMLEscape(&escaped, tight.Bytes())
	return escaped.Bytes()
}
