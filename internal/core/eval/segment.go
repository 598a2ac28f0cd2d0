package eval

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// segment is a compiled flag.Segment.
type segment struct {
	key     string
	members map[string]struct{}
	list    *members.Set       // nil: none, or not loaded
	missing bool               // there is a list, but it is not loaded
	when    *condition         // nil: none
	rule    *targeting.Program // nil: none
}

// segment gives the segment of that key, which a valid set has, to the flag that is compiled.
func (c *compiler) segment(key string) *segment {
	s := c.segments[key]
	c.usesTime = c.usesTime || s.rule != nil && s.rule.UsesTime()
	return s
}

func (c *compiler) compileSegments(from []flag.Segment) error {
	c.segments = make(map[string]*segment, len(from))
	for i := range from {
		s, err := c.compileSegment(&from[i])
		if err != nil {
			return err
		}
		c.segments[s.key] = s
	}
	return nil
}

func (c *compiler) compileSegment(from *flag.Segment) (*segment, error) {
	s := &segment{key: from.Key}
	if len(from.Members) > 0 {
		s.members = make(map[string]struct{}, len(from.Members))
		for _, member := range from.Members {
			s.members[member] = struct{}{}
		}
	}
	if from.List != nil {
		loaded, ok := c.lists(*from.List)
		if ok {
			s.list = loaded
		} else {
			s.missing, c.missing = true, append(c.missing, s.key)
		}
	}
	var err error
	if s.when, err = c.condition(from.When); err != nil {
		return nil, err
	}
	s.rule, err = c.compileRule(from)
	return s, err
}

func (s *segment) contains(u *unit) bool {
	return s.lists(u.key) || s.when != nil && s.when.matches(u) || s.rule != nil && s.meetsRule(u)
}

// lists reports whether the segment has the key itself, not by a condition.
func (s *segment) lists(key string) bool {
	if key == "" {
		return false
	}
	if _, member := s.members[key]; member {
		return true
	}
	return s.list.Contains(key)
}

// sortedMissing gives the keys of the segments whose lists are not loaded.
func (c *compiler) sortedMissing() []string {
	slices.Sort(c.missing)
	return c.missing
}
