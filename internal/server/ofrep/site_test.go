package ofrep

import (
	"testing"
	"testing/synctest"
	"time"
)

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
