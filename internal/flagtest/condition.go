package flagtest

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// The pools. What rules compare with is a part of what contexts hold.
var (
	keys  = []string{"", "user-1", "user-2", "42", "ünï-😀", "a\"b\\c", "$&", "user-3", "user-4", "user-5", "v1.2.3"}
	texts = []string{"pro", "basic", "PRO", "ünï😀x", "😀", "5", "1e3", "true", "null", "-7", "0", "1.2.3", "v2", "2.0.0-rc.1", "a.b", " pro ", "inf"}

	attributes = []string{
		"plan", "country", "age", "beta", "tags", "version", "id", "user.id", "user.plan", "user.roles",
		"user.address.zip", "tags.0", "ünï", "a b", "targetingKey",
	}
	numbers = []string{"5", "0", "-7", "1000", "2.5", "1e3", "9007199254740991", "-0.1", "1.2"}

	textOps    = []flag.Op{flag.OpContains, flag.OpStartsWith, flag.OpEndsWith}
	numberOps  = []flag.Op{flag.OpLess, flag.OpLessEq, flag.OpGreater, flag.OpGreaterEq}
	versionOps = []flag.Op{
		flag.OpVersionEquals, flag.OpVersionNotEquals, flag.OpVersionLess, flag.OpVersionLessEq,
		flag.OpVersionGreater, flag.OpVersionGreaterEq, flag.OpVersionMinor, flag.OpVersionMajor,
	}
	versions = []string{"1.2.3", "2.0.0", "v2.0.0-rc.1", "1", "1.2", "5.0.0"}
)

// condition makes a tree of at most depth levels.
func (g *generator) condition(depth int, segments bool) flag.Condition {
	if depth > 1 && g.chance(35) {
		switch g.IntN(3) {
		case 0:
			return flag.Condition{All: g.conditions(depth, segments)}
		case 1:
			return flag.Condition{Any: g.conditions(depth, segments)}
		}
		inner := g.condition(depth-1, segments)
		return flag.Condition{Not: &inner}
	}
	if segments && len(g.segments) > 0 && g.chance(25) {
		return flag.Condition{Segment: pick(g, g.segments)}
	}
	return g.clause()
}

func (g *generator) conditions(depth int, segments bool) []flag.Condition {
	var all []flag.Condition
	for range 1 + g.IntN(3) {
		all = append(all, g.condition(depth-1, segments))
	}
	return all
}

func (g *generator) clause() flag.Condition {
	c := flag.Condition{Attribute: pick(g, attributes)}
	kinds := 6
	if g.options.Portable {
		kinds = 5
	}
	switch g.IntN(kinds) {
	case 0:
		c.Op, c.Values = flag.OpIn, g.operands(1+g.IntN(12))
	case 1:
		c.Op, c.Values = flag.OpEquals, g.operands(1)
	case 2:
		c.Op = pick(g, textOps)
		for range 1 + g.IntN(3) {
			c.Values = append(c.Values, encode(g.piece()))
		}
	case 3:
		c.Op, c.Values = pick(g, numberOps), []json.RawMessage{json.RawMessage(pick(g, numbers))}
	case 4:
		if c.Op = flag.OpExists; g.chance(60) {
			c.Op, c.Values = pick(g, versionOps), []json.RawMessage{encode(pick(g, versions))}
		}
	case 5:
		g.special(&c)
	}
	return c
}

// special fills in what only we evaluate.
func (g *generator) special(c *flag.Condition) {
	switch g.IntN(4) {
	case 0:
		c.Op, c.Values = flag.OpMatches, []json.RawMessage{encode(pick(g, []string{"^p", "o$", "[0-9]+", "(?i)PRO"}))}
	case 1:
		c.Op, c.Values = flag.OpInCIDR, []json.RawMessage{encode(pick(g, []string{"10.0.0.0/8", "::/0", "192.168.1.1/32"}))}
	case 2:
		c.Op, c.Values = flag.OpBefore, []json.RawMessage{encode("2026-01-02T03:04:05Z")}
	case 3:
		c.Op, c.Values = flag.OpAfter, []json.RawMessage{encode("2026-01-02T03:04:05Z")}
	}
}

// piece cuts a piece off a text.
func (g *generator) piece() string {
	all := []rune(pick(g, slices.Concat(texts, keys[1:])))
	from := g.IntN(len(all))
	return string(all[from : from+1+g.IntN(len(all)-from)])
}

func (g *generator) operands(n int) []json.RawMessage {
	var all []json.RawMessage
	for range n {
		switch g.IntN(6) {
		case 0:
			all = append(all, json.RawMessage(pick(g, numbers)))
		case 1:
			all = append(all, json.RawMessage(pick(g, []string{"true", "false"})))
		case 2:
			all = append(all, encode(pick(g, keys)))
		default:
			all = append(all, encode(pick(g, texts)))
		}
	}
	return all
}

func encode(s string) json.RawMessage {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // not for strings
	}
	return data
}

func (g *generator) context() Context {
	c := Context{TargetingKey: g.unit(pick(g, keys)).(string), Attributes: map[string]any{}}
	if g.chance(30) {
		c.TargetingKey = "user-" + string(rune('0'+g.IntN(10))) + string(rune('a'+g.IntN(26)))
	}
	for _, name := range []string{"plan", "country", "age", "beta", "tags", "version", "id", "ünï", "a b"} {
		if g.chance(75) {
			c.Attributes[name] = g.value(3)
		}
		if value, there := c.Attributes[name]; there && slices.Contains(units, name) {
			c.Attributes[name] = g.unit(value)
		}
	}
	if g.chance(30) {
		c.Attributes["user"] = g.value(2)
	} else if g.chance(80) {
		c.Attributes["user"] = map[string]any{"id": g.unit(g.scalar()), "plan": g.value(2), "roles": g.list(1), "address": map[string]any{"zip": g.value(1)}}
	}
	return c
}

// units are the attributes that splits may hash.
var units = []string{"id", "age", "tags"}

// unit gives a value that may be hashed under the options.
func (g *generator) unit(value any) any {
	if text, ok := value.(string); ok && g.options.ASCII && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "user-9"
	}
	return value
}

// value makes anything that JSON decodes to.
func (g *generator) value(depth int) any {
	switch {
	case depth > 0 && g.chance(15):
		return g.list(depth)
	case depth > 0 && g.chance(8):
		object := map[string]any{}
		for range g.IntN(3) {
			object[pick(g, []string{"a", "id", "plan", "0"})] = g.value(depth - 1)
		}
		return object
	}
	return g.scalar()
}

func (g *generator) list(depth int) []any {
	list := []any{}
	for range g.IntN(4) {
		list = append(list, g.value(depth-1))
	}
	return list
}

func (g *generator) scalar() any {
	switch g.IntN(8) {
	case 0:
		return pick(g, []any{true, false, nil})
	case 1, 2:
		return pick(g, []any{5.0, 0.0, -7.0, 1000.0, 2.5, 9007199254740991.0, 1e21, -0.1, 1.2, 1e-7, 42.0})
	case 3:
		return pick(g, keys)
	case 4:
		return pick(g, versions)
	}
	return pick(g, texts)
}
