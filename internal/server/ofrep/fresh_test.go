package ofrep

import (
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func TestWaitsUntilFresh(t *testing.T) {
	for _, c := range []struct {
		name   string
		query  func(history string, revision int64) url.Values
		change bool // comes after 300 ms
		waits  time.Duration
	}{
		{name: "nothing asked", query: func(string, int64) url.Values { return url.Values{"x": {"y"}} }},
		{name: "fresh enough", query: func(h string, n int64) url.Values { return etag(h, n) }},
		{name: "the change comes", query: func(h string, n int64) url.Values { return etag(h, n+1) }, change: true, waits: 300 * time.Millisecond},
		{name: "the change does not come", query: func(h string, n int64) url.Values { return etag(h, n+1) }, waits: time.Second},
		{name: "two changes are missing", query: func(h string, n int64) url.Values { return etag(h, n+2) }, change: true, waits: time.Second},
		{name: "another history", query: func(_ string, n int64) url.Values { return etag("other", n+1) }},
		{name: "nonsense", query: func(string, int64) url.Values {
			return url.Values{"flagConfigEtag": {"x"}, "flagConfigLastModified": {"soon"}}
		}},
		{name: "earlier time", query: func(string, int64) url.Values { return modified(-time.Hour) }},
		{name: "later time, the change comes", query: func(string, int64) url.Values { return modified(0) }, change: true, waits: 300 * time.Millisecond},
		{name: "later time, no change", query: func(string, int64) url.Values { return modified(0) }, waits: time.Second},
		{name: "the position goes first", query: func(h string, n int64) url.Values {
			q := etag(h, n)
			q.Set("flagConfigLastModified", fmt.Sprint(time.Now().Unix()))
			return q
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(boolean("f"))
				r.post(pathFlags, ``).want(200)
				time.Sleep(time.Minute)
				head := r.main().Head()
				if c.change {
					time.AfterFunc(300*time.Millisecond, func() {
						r.put(boolean("f", func(f *flag.Flag) { f.DefaultVariant = "on" }))
					})
				}
				start := time.Now()
				w := r.post(pathFlags+"?"+c.query(head.History, head.Revision).Encode(), ``).whole()
				if got := time.Since(start); got != c.waits {
					t.Errorf("waited %s, want %s", got, c.waits)
				}
				if c.change && (w.Flags[0].Variant != "on") {
					t.Errorf("answered %+v", w.Flags)
				}
				time.Sleep(time.Second) // let the change come
			})
		})
	}
}

func etag(history string, revision int64) url.Values {
	return url.Values{"flagConfigEtag": {fmt.Sprintf("%s:%d", history, revision)}}
}

func modified(ago time.Duration) url.Values {
	return url.Values{"flagConfigLastModified": {fmt.Sprint(time.Now().Add(ago).Unix())}}
}
