package flag

import (
	"encoding/json"
	"strings"
)

func (v *validator) segment(at path, s *Segment) {
	v.check(at.to("key"), CheckKey(s.Key))
	v.check(at.to("description"), checkText(s.Description, MaxText))
	v.count(at.to("members"), len(s.Members), MaxMembers, "members")
	if len(s.Members) > 0 {
		seen := make(map[string]bool, len(s.Members))
		for i, member := range s.Members {
			v.member(at.item("members", i), member, seen, "is a member twice; keep it once")
		}
	}
	v.condition(at.to("when"), s.When, false)
	if s.List != nil {
		v.list(at.to("list"), s.List)
	}
	if !s.HasRule() {
		return
	}
	if len(s.Members) > 0 || s.When != nil || s.List != nil {
		v.add(at.to("rule"), "a segment with a rule has nothing else; remove members, when and list, or the rule")
	}
	v.evaluator(at.to("rule"), s.Rule)
}

// list checks what can be seen of a member list without its parts.
func (v *validator) list(at path, l *List) {
	if !isHex(l.HashKey, 32) {
		v.add(at.to("hashKey"), "is not 32 hex digits in lower case; upload the list to get a key")
	}
	if l.Count < 0 || l.Count > MaxListMembers {
		v.add(at.to("count"), "%d members are not between 0 and %d; use a list of another size", l.Count, MaxListMembers)
	}
	v.count(at.to("parts"), len(l.Parts), MaxListParts, "parts")
	if l.Count > 0 && len(l.Parts) == 0 {
		v.add(at.to("parts"), "there are none, but %d members are said to be in them; upload the list again", l.Count)
	}
	for i, part := range l.Parts {
		at := at.item("parts", i)
		if !isHex(part.Digest, 64) {
			v.add(at.to("digest"), "is not 64 hex digits in lower case; write the SHA-256 of the part")
		}
		if part.Bytes <= 0 || part.Bytes > MaxPartBytes {
			v.add(at.to("bytes"), "%d is not between 1 and %d; write the length of the part", part.Bytes, MaxPartBytes)
		}
	}
}

// isHex reports whether text is n hex digits in lower case.
func isHex(text string, n int) bool {
	return len(text) == n && strings.Trim(text, "0123456789abcdef") == ""
}

// knownSegment records a reference to a segment that does not exist.
func (v *validator) knownSegment(at path, key string) {
	if v.findSegment(key) == nil {
		v.unknown(at, key, keys(v.in.Segments, segmentKey), "there is no segment %q; create it first", key)
	}
}

// evaluatorRules gives the rules that definitions may name by $ref.
func (v *validator) evaluatorRules() map[string]json.RawMessage {
	if v.evaluators == nil {
		v.evaluators = Evaluators(v.in.Segments)
	}
	return v.evaluators
}

// Evaluators gives the rules of the segments that have one, by key: what flagd calls $evaluators.
func Evaluators(segments []Segment) map[string]json.RawMessage {
	rules := map[string]json.RawMessage{}
	for i := range segments {
		if segments[i].HasRule() {
			rules[segments[i].Key] = segments[i].Rule
		}
	}
	return rules
}
