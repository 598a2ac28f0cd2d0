package ofrep

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// TestEveryListTouches: a new list of the model must not be forgotten.
func TestEveryListTouches(t *testing.T) {
	typ := reflect.TypeFor[flag.Delta]()
	lists := 0
	for i := range typ.NumField() {
		var d flag.Delta
		v := reflect.ValueOf(&d).Elem().Field(i)
		switch v.Kind() {
		case reflect.Slice:
			lists++
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if !touches(&d) {
				t.Errorf("%s is no change", typ.Field(i).Name)
			}
		case reflect.String, reflect.Int64:
		default:
			t.Errorf("%s: look whether touches has to know it", typ.Field(i).Name)
		}
	}
	if lists == 0 || touches(&flag.Delta{Revision: 7}) {
		t.Errorf("%d lists; an empty delta is a change: %v", lists, touches(&flag.Delta{Revision: 7}))
	}
}

func TestForgetsEnvironments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		count := func() (n int) {
			r.server.sites.byService.Range(func(any, any) bool { n++; return true })
			return n
		}
		for _, c := range []struct {
			environment string
			after       time.Duration
			want        int
		}{{"default", 0, 1}, {"staging", 0, 2}, {"default", siteIdle, 2}, {"default", siteIdle, 2}} {
			time.Sleep(c.after)
			r.post(pathFlags, ``, "Flagd-Selector: "+c.environment).want(200)
			if got := count(); got != c.want {
				t.Errorf("%d environments are kept, want %d", got, c.want)
			}
		}
		r.drop("staging")
		r.services["third"] = newRig(t).main()
		r.post(pathFlags, ``, "Flagd-Selector: third").want(200)
		if got := count(); got != 2 {
			t.Errorf("%d environments are kept, want 2", got)
		}
	})
}
