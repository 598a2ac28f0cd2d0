package flag

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of a set. Whatever passes them can be evaluated in bounded time and memory.
const (
	MaxKey         = 128       // bytes of a key, salt or attribute name
	MaxFlags       = 100_000   // flags in a set
	MaxSegments    = 10_000    // segments in a set
	MaxAllocations = 10_000    // running trials in a set
	MaxFlagBytes   = 256 << 10 // JSON of one flag
	MaxVariants    = 100       // variants of a flag, and shares of a split
	MaxRules       = 200       // rules of a flag
	MaxClauses     = 50        // segment and attribute clauses of one condition
	MaxValues      = 1_000     // values of one attribute clause
	MaxDepth       = 16        // nesting of a condition, and of an object variant's value
	MaxMembers     = 10_000    // members of a segment
	MaxMember      = 256       // bytes of one member
	MaxStrata      = 100       // strata of an allocation, and segments of a stratum
	MaxEvents      = 16        // events of an allocation
	MaxTags        = 50        // tags of a flag
	MaxLayers      = 1_000     // layers in a set
	MaxSlots       = 1_000     // slots of a layer
	MaxNeeds       = 20        // prerequisites of a flag
	MaxChain       = 8         // depth of prerequisites of prerequisites
	MaxLookups     = 200       // flags evaluated for one evaluation, because of prerequisites
	MaxOverrides   = 1_000     // units with an override in a flag
	MaxSchemaBytes = 64 << 10  // a flag's JSON Schema
	MaxPatterns    = 20        // regular expressions of one clause
	MaxPattern     = 512       // bytes of a regular expression
	MaxProgram     = 2_000     // steps that a regular expression compiles to
	MaxMatched     = 4 << 10   // bytes of a text that is matched against one; longer ones match nothing
	MaxPath        = 8         // parts of an attribute's name
	MaxListMembers = 10_000_000
	MaxListParts   = 64        // parts of a member list
	MaxPartBytes   = 128 << 20 // bytes of a part
	MaxText        = 4 << 10   // bytes of a description; other texts: MaxMember
	MaxInteger     = 1<<53 - 1 // largest magnitude of an integer that every client can hold
)

// MaxSegmentBytes is the longest JSON of a segment that [DecodeSegment] reads: its members,
// escaped at the worst, and 1 MiB for the rest.
const MaxSegmentBytes = 16 << 20

// CheckKey says what is wrong with a key (of a flag, segment, variant or trial) or a salt, or
// gives nil: 1 to 128 characters of A-Z a-z 0-9 . _ / and -, with no "." or ".." between slashes,
// since such a key could not be reached by its URL.
//
// The colon is left out on purpose: what is hashed is salt + ":" + unit, so the first colon
// always ends the salt, and two pairs of salt and unit are never hashed as the same bytes.
func CheckKey(key string) error {
	if key == "" {
		return fmt.Errorf("is empty; give 1 to %d characters of A-Z a-z 0-9 . _ / -", MaxKey)
	}
	if len(key) > MaxKey {
		return fmt.Errorf("has %d characters; at most %d are allowed", len(key), MaxKey)
	}
	if i := strings.IndexFunc(key, notInKey); i >= 0 {
		r, _ := utf8.DecodeRuneInString(key[i:])
		return fmt.Errorf("has %q at place %d; only A-Z a-z 0-9 . _ / - are allowed", r, i+1)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("has the part %q, which means a folder in a URL; add a letter or a digit", part)
		}
	}
	return nil
}

func notInKey(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
		r != '.' && r != '_' && r != '/' && r != '-'
}

// checkText says what is wrong with free text of at most limit bytes.
func checkText(text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("is not valid UTF-8; write the text in UTF-8")
	}
	return nil
}

// checkAttribute says what is wrong with the name of an attribute, whose parts dots divide.
func checkAttribute(name string) error {
	if name == "" {
		return fmt.Errorf("is empty; name an attribute of the context, such as %q", "country")
	}
	if parts := 1 + strings.Count(name, "."); parts > MaxPath {
		return fmt.Errorf("has %d parts between dots; at most %d are allowed", parts, MaxPath)
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return fmt.Errorf("has an empty part between dots; a dot goes into an object, as in %q", "user.plan")
		}
	}
	if name == flagdOwn || strings.HasPrefix(name, flagdOwn+".") {
		return fmt.Errorf("begins with %s, which flagd keeps for itself; choose another name", flagdOwn)
	}
	return checkText(name, MaxKey)
}

// flagdOwn is the object that flagd puts into every context.
const flagdOwn = "$flagd"
