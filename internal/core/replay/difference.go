package replay

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxShown bounds, in bytes, what a difference shows of each side.
const maxShown = 120

// parse reads JSON with numbers as they are written, so that equal means equal bits.
func parse(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// firstDifference goes through two JSON values, members in the order of their names, and gives
// the place of the first difference with both sides; all empty if there is none.
func firstDifference(pointer string, a, b any) (at, left, right string) {
	if objectA, ok := a.(map[string]any); ok {
		if objectB, ok := b.(map[string]any); ok {
			return objectDifference(pointer, objectA, objectB)
		}
	}
	if listA, ok := a.([]any); ok {
		if listB, ok := b.([]any); ok {
			return listDifference(pointer, listA, listB)
		}
	}
	left, right = text(a), text(b)
	if left == right {
		return "", "", ""
	}
	same := 0
	for same < min(len(left), len(right)) && left[same] == right[same] {
		same++
	}
	return pointer, shownFrom(left, same), shownFrom(right, same)
}

// shownFrom shortens a text so that the byte at which it differs is among what is shown.
func shownFrom(s string, at int) string {
	const before = 20
	if len(s) > maxShown && at > before {
		s = "…" + strings.ToValidUTF8(s[at-before:], "")
	}
	return cut(s)
}

func objectDifference(pointer string, a, b map[string]any) (at, left, right string) {
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		valueA, inA := a[name]
		valueB, inB := b[name]
		place := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		switch {
		case !inA:
			return place, "", shown(valueB)
		case !inB:
			return place, shown(valueA), ""
		}
		if at, left, right = firstDifference(place, valueA, valueB); at != "" {
			return at, left, right
		}
	}
	return "", "", ""
}

func listDifference(pointer string, a, b []any) (at, left, right string) {
	for i := range max(len(a), len(b)) {
		place := pointer + "/" + strconv.Itoa(i)
		switch {
		case i >= len(a):
			return place, "", shown(b[i])
		case i >= len(b):
			return place, shown(a[i]), ""
		}
		if at, left, right = firstDifference(place, a[i], b[i]); at != "" {
			return at, left, right
		}
	}
	return "", "", ""
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func shown(v any) string { return cut(text(v)) }

func cut(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
