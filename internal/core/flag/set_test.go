package flag

import (
	"reflect"
	"testing"
)

// TestEveryListIsAChange: a new list of the model must not be forgotten.
func TestEveryListIsAChange(t *testing.T) {
	typ := reflect.TypeFor[Delta]()
	lists := 0
	for i := range typ.NumField() {
		var d Delta
		v := reflect.ValueOf(&d).Elem().Field(i)
		switch v.Kind() {
		case reflect.Slice:
			lists++
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if d.Empty() {
				t.Errorf("%s is no change", typ.Field(i).Name)
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			if d.Empty() {
				t.Errorf("%s is no change, even if it is its zero value", typ.Field(i).Name)
			}
		case reflect.String, reflect.Int64:
		default:
			t.Errorf("%s: look whether Empty has to know it", typ.Field(i).Name)
		}
	}
	if lists == 0 || !(&Delta{Revision: 7}).Empty() {
		t.Errorf("%d lists; an empty delta is empty: %v", lists, (&Delta{Revision: 7}).Empty())
	}
}
