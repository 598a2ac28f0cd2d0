package ofprovider

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
)

// The bounds of an evaluation context. What lies beyond matches nothing.
const (
	maxDepth  = 16     // nesting of lists and objects
	maxValues = 10_000 // of one attribute, all that is in it included
)

// unitOf gives the evaluation context of the SDK in the client's form. It shares what need not be
// converted.
func unitOf(flat of.FlattenedContext) (seatrial.Context, error) {
	if len(flat) == 0 {
		return seatrial.Context{}, nil
	}
	key, err := targetingKey(flat[of.TargetingKey])
	if err != nil {
		return seatrial.Context{}, err
	}
	attributes, _ := (&converter{}).object(flat, 0)
	return seatrial.ContextFrom(key, attributes), nil
}

func targetingKey(value any) (string, error) {
	switch key := value.(type) {
	case nil:
		return "", nil
	case string:
		return key, nil
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.String {
		return v.String(), nil
	}
	return "", fmt.Errorf("the targeting key is of type %T: give a string", value)
}

// converter brings values into the forms that rules can match.
type converter struct {
	left int // values of the attribute that it may still look at: a value may hold itself
}

// object converts the values of a map, and copies it only if it has to.
func (c *converter) object(from map[string]any, depth int) (to map[string]any, changed bool) {
	to = from
	for name, value := range from {
		if depth == 0 {
			c.left = maxValues
		}
		converted, different := c.value(value, depth)
		if !different {
			continue
		}
		if !changed {
			to, changed = make(map[string]any, len(from)), true
			for n, v := range from {
				to[n] = v
			}
		}
		to[name] = converted
	}
	return to, changed
}

// list is object for a list.
func (c *converter) list(from []any, depth int) (to []any, changed bool) {
	to = from
	for i, value := range from {
		converted, different := c.value(value, depth)
		if !different {
			continue
		}
		if !changed {
			to, changed = append([]any(nil), from...), true
		}
		to[i] = converted
	}
	return to, changed
}

// value converts one value; nil for what cannot be matched. No method of a caller's type is run.
func (c *converter) value(value any, depth int) (to any, changed bool) {
	if c.left--; c.left < 0 || depth >= maxDepth {
		return nil, true
	}
	switch v := value.(type) {
	case nil, string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, []string:
		return value, false
	case map[string]any:
		return c.object(v, depth+1)
	case []any:
		if list, changed := c.list(v, depth+1); changed {
			return list, true
		}
		return value, false
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	case json.Number:
		return number(v), true
	}
	return c.reflected(reflect.ValueOf(value), depth), true
}

// number gives an integer where the text is one.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return nil
}

// reflected converts named types, pointers, and lists and maps of other types.
func (c *converter) reflected(v reflect.Value, depth int) any {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return v.Uint()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Pointer:
		if !v.IsNil() {
			to, _ := c.value(v.Elem().Interface(), depth+1)
			return to
		}
	case reflect.Slice, reflect.Array:
		return c.elements(v, depth)
	case reflect.Map:
		return c.members(v, depth)
	}
	return nil
}

func (c *converter) elements(v reflect.Value, depth int) any {
	list := make([]any, 0, min(v.Len(), max(c.left, 0)))
	for i := 0; i < v.Len() && c.left > 0; i++ {
		to, _ := c.value(v.Index(i).Interface(), depth+1)
		list = append(list, to)
	}
	return list
}

func (c *converter) members(v reflect.Value, depth int) any {
	if v.Type().Key().Kind() != reflect.String {
		return nil
	}
	object := map[string]any{}
	for i := v.MapRange(); i.Next() && c.left > 0; {
		object[i.Key().String()], _ = c.value(i.Value().Interface(), depth+1)
	}
	return object
}
