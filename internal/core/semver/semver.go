// Package semver compares semantic versions (semver.org, 2.0.0) as flagd's sem_ver operator does:
// a leading v or V and missing parts are allowed, build metadata is ignored.
package semver

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// MaxLength is the longest text that can be a version, in bytes, as in npm's semver.
const MaxLength = 256

// Version is a semantic version. The zero value is 0.0.0. Pre is what follows the hyphen, such as
// "rc.1"; a version with it comes before the one without. Versions that differ in build metadata
// only are equal.
type Version struct {
	Major, Minor, Patch uint64
	Pre                 string
}

// Parse reads a version: "1.2.3-rc.1+build", also "v1.2.3", "1" and "1.2" (the missing parts are
// 0; such a short form has neither prerelease nor build). It reports false for everything else,
// leading zeros and numbers from 2^64 on included. It does not allocate.
func Parse(text string) (v Version, ok bool) {
	if len(text) > MaxLength {
		return Version{}, false
	}
	if text != "" && (text[0] == 'v' || text[0] == 'V') {
		text = text[1:]
	}
	rest, ok := parseCore(&v, text)
	if !ok {
		return Version{}, false
	}
	if rest, ok = cutLabel(rest, '+', false, nil); !ok {
		return Version{}, false
	}
	if rest, ok = cutLabel(rest, '-', true, &v.Pre); !ok || rest != "" {
		return Version{}, false
	}
	return v, true
}

// parseCore reads up to three numbers. What it leaves is empty unless there were three.
func parseCore(v *Version, text string) (rest string, ok bool) {
	for i, part := range [3]*uint64{&v.Major, &v.Minor, &v.Patch} {
		digits := 0
		for digits < len(text) && isDigit(text[digits]) {
			digits++
		}
		if digits == 0 || digits > 1 && text[0] == '0' {
			return "", false // before ParseUint makes an error of it
		}
		number, err := strconv.ParseUint(text[:digits], 10, 64)
		if err != nil {
			return "", false
		}
		*part, text = number, text[digits:]
		if i == 2 || text == "" {
			return text, true
		}
		if text[0] != '.' {
			return "", false
		}
		text = text[1:]
	}
	return text, true
}

// cutLabel takes the dotted identifiers that begin with mark off the text: the build first, then
// the prerelease.
func cutLabel(text string, mark byte, numeric bool, into *string) (rest string, ok bool) {
	at := strings.IndexByte(text, mark)
	if at < 0 {
		return text, true
	}
	label := text[at+1:]
	for identifier := range strings.SplitSeq(label, ".") {
		if !isIdentifier(identifier) || numeric && len(identifier) > 1 && identifier[0] == '0' && isNumeric(identifier) {
			return "", false
		}
	}
	if into != nil {
		*into = label
	}
	return text[:at], true
}

func isIdentifier(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !isDigit(c) && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return text != ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNumeric(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return true
}

// Compare is -1 if v comes before w, 1 if after, 0 if they are equal (semver.org, clause 11).
func (v Version) Compare(w Version) int {
	return cmp.Or(
		cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch),
		comparePre(v.Pre, w.Pre))
}

func comparePre(v, w string) int {
	if v == "" || w == "" {
		return cmp.Compare(len(w), len(v)) // a release comes after its prereleases
	}
	for {
		a, restA, moreA := strings.Cut(v, ".")
		b, restB, moreB := strings.Cut(w, ".")
		if order := compareIdentifier(a, b); order != 0 {
			return order
		}
		if !moreA || !moreB {
			return cmp.Compare(len(restA), len(restB)) // fewer identifiers come first
		}
		v, w = restA, restB
	}
}

// compareIdentifier puts numbers before words; numbers have no leading zeros, so the longer is
// the larger.
func compareIdentifier(a, b string) int {
	numericA, numericB := isNumeric(a), isNumeric(b)
	switch {
	case numericA && numericB:
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	case numericA:
		return -1
	case numericB:
		return 1
	}
	return cmp.Compare(a, b)
}

var operators = []string{"=", "!=", "<", "<=", ">", ">=", "~", "^"}

// IsOperator tells whether [Matches] knows the operator.
func IsOperator(op string) bool { return slices.Contains(operators, op) }

// Matches tells whether a stands in a relation to b: = != < <= > >= compare, ~ asks for the same
// major and minor, ^ for the same major. Other operators match nothing.
func Matches(op string, a, b Version) bool {
	switch op {
	case "=":
		return a.Compare(b) == 0
	case "!=":
		return a.Compare(b) != 0
	case "<":
		return a.Compare(b) < 0
	case "<=":
		return a.Compare(b) <= 0
	case ">":
		return a.Compare(b) > 0
	case ">=":
		return a.Compare(b) >= 0
	case "~":
		return a.Major == b.Major && a.Minor == b.Minor
	case "^":
		return a.Major == b.Major
	}
	return false
}
