package flag

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawSet(t *rapid.T, name string, revision int64) Set {
	s := Set{Environment: "e", History: "h", Epoch: 1, Revision: revision, Hash: fmt.Sprint(revision),
		FaultsOff: rapid.Bool().Draw(t, name+" faults off")}
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 5, rapid.ID[string])
	for _, key := range keys.Draw(t, name+" flags") {
		f := Flag{Key: key, Kind: KindRelease, Type: TypeInteger, Enabled: rapid.Bool().Draw(t, "enabled"),
			Variants: []Variant{{Name: "x", Value: json.RawMessage(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value"))}}}
		if rapid.Bool().Draw(t, "rule") {
			f.Rules = []Rule{{Serve: "x", When: &Condition{Attribute: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "attribute"), Op: OpIn, Values: []json.RawMessage{[]byte(`"<&>"`)}}}}
		}
		s.Flags = append(s.Flags, f)
	}
	for _, key := range keys.Draw(t, name+" segments") {
		s.Segments = append(s.Segments, Segment{Key: key, Members: []string{rapid.SampledFrom([]string{"u", "v"}).Draw(t, "member")}})
	}
	for _, key := range keys.Draw(t, name+" layers") {
		s.Layers = append(s.Layers, Layer{Key: key, Holdout: Weight(rapid.IntRange(0, 2).Draw(t, "holdout"))})
	}
	for _, key := range keys.Draw(t, name+" trials") {
		s.Allocations = append(s.Allocations, Allocation{Trial: key, Flag: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "flag"), Step: rapid.IntRange(0, 2).Draw(t, "step")})
	}
	return s
}

func asJSON(t *rapid.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Property: a difference leads from one set to the other, also through JSON, and changes nothing
// that it is given; a set differs from itself in nothing.
func TestApplyUndoesDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, next := drawSet(t, "old", 3), drawSet(t, "next", 5)
		if rapid.Bool().Draw(t, "normal") {
			old = old.Normalize()
		}
		before := asJSON(t, []any{old, next})
		var delta Delta
		if err := json.Unmarshal([]byte(asJSON(t, old.Diff(next))), &delta); err != nil {
			t.Fatal(err)
		}
		got, err := old.Apply(delta)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := asJSON(t, got.Normalize()), asJSON(t, next.Normalize()); a != b {
			t.Fatalf("applied\n%s\nwant\n%s", a, b)
		}
		if asJSON(t, got) != asJSON(t, got.Normalize()) {
			t.Fatal("what Apply gives is not in normal form")
		}
		if after := asJSON(t, []any{old, next}); after != before {
			t.Fatal("Diff or Apply changed a set")
		}
		if d := next.Diff(next.Normalize()); !d.Empty() {
			t.Fatalf("a set differs from itself in %+v", d)
		}
	})
}

func TestApplyRefusesGaps(t *testing.T) {
	s := Set{History: "h", Epoch: 2, Revision: 7}
	for name, d := range map[string]Delta{
		"another history": {History: "i", Epoch: 2, Parent: 7, Revision: 8},
		"another parent":  {History: "h", Epoch: 2, Parent: 6, Revision: 8},
		"back":            {History: "h", Epoch: 2, Parent: 7, Revision: 7},
		"epoch back":      {History: "h", Epoch: 1, Parent: 7, Revision: 8},
	} {
		if got, err := s.Apply(d); !errors.Is(err, ErrGap) || got.History != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Every field of the model, changed once, makes a difference: a field that is forgotten in the
// equal methods would never reach an SDK.
func TestEveryFieldMakesADifference(t *testing.T) {
	full := func() Set { return good().Normalize() }
	for field := range reflect.TypeFor[Set]().Fields() {
		part := field.Name
		if field.Type.Kind() != reflect.Slice {
			continue
		}
		n := 0
		forEachLeaf(reflect.ValueOf(full()).FieldByName(part), func(int) bool { n++; return false })
		for leaf := range n {
			next := full()
			i := 0
			where := forEachLeaf(reflect.ValueOf(&next).Elem().FieldByName(part), func(int) bool { i++; return i == leaf+1 })
			next.Revision++
			d := full().Diff(next)
			if len(d.Flags)+len(d.Segments)+len(d.Layers)+len(d.Allocations) == 0 {
				t.Errorf("%s: changing %s makes no difference", part, where)
			}
		}
	}
}

// The set of the test above has a value in every field of the model, so that none is passed over.
func TestTheGoodSetHasEveryField(t *testing.T) {
	filled := map[string]bool{}
	markFilled(reflect.ValueOf(good()), filled)
	for _, part := range []reflect.Type{reflect.TypeFor[Flag](), reflect.TypeFor[Prerequisite](), reflect.TypeFor[Override](), reflect.TypeFor[Layer](),
		reflect.TypeFor[Slot](), reflect.TypeFor[Variant](), reflect.TypeFor[Rule](), reflect.TypeFor[Split](), reflect.TypeFor[Share](), reflect.TypeFor[Condition](),
		reflect.TypeFor[Segment](), reflect.TypeFor[List](), reflect.TypeFor[ListPart](), reflect.TypeFor[Allocation](), reflect.TypeFor[Stratum](), reflect.TypeFor[Event]()} {
		for field := range part.Fields() {
			// An archived flag would make the set invalid, a number or text without a value is a leaf all the same.
			leaf := field.Type.Kind() != reflect.Slice && field.Type.Kind() != reflect.Pointer
			if name := part.Name() + "." + field.Name; !filled[name] && !leaf {
				t.Errorf("%s is empty in every place of the good set: fill it somewhere", name)
			}
		}
	}
}

// markFilled notes the fields, as Type.Field, that are not empty in some place below v.
func markFilled(v reflect.Value, filled map[string]bool) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		markFilled(v.Elem(), filled)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); !field.IsZero() {
				filled[v.Type().Name()+"."+v.Type().Field(i).Name] = true
				markFilled(field, filled)
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		for i := range v.Len() {
			markFilled(v.Index(i), filled)
		}
	}
}

// forEachLeaf visits the strings, numbers and booleans below v; where visit says so, it changes
// the leaf, stops, and gives its type's path.
func forEachLeaf(v reflect.Value, visit func(int) bool) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return forEachLeaf(v.Elem(), visit)
	case reflect.Struct:
		for i := range v.NumField() {
			if where := forEachLeaf(v.Field(i), visit); where != "" {
				return v.Type().Field(i).Name + " " + where
			}
		}
		return ""
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			if visit(0) {
				v.Set(reflect.ValueOf(json.RawMessage(`"changed"`)))
				return "value"
			}
			return ""
		}
		for i := range v.Len() {
			if where := forEachLeaf(v.Index(i), visit); where != "" {
				return where
			}
		}
		return ""
	}
	if !visit(0) {
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "changed")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	}
	return v.Kind().String()
}

func TestEqualIgnoresSpaceAndNil(t *testing.T) {
	a, b := good().Flags[1], good().Flags[1]
	if s := good(); !equalJSON(s.Flags[4].Definition, []byte(`{"state":"ENABLED", "variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{"if":[{"$ref":"logic"},"on",null]}}`)) ||
		!equalJSON([]byte(`{"<":[1]}`), []byte(`{"\u003c":[1]}`)) || equalJSON([]byte(`{"<":[1]}`), []byte(`{"<":[2]}`)) {
		t.Error("how a definition is written makes a difference, or what it says makes none")
	}
	b.Tags, b.Variants[1].Value = []string{}, json.RawMessage(" { \"delay\" : \"1s\" } ")
	if !a.equal(&b) {
		t.Error("space and empty lists make a difference")
	}
}
