package ofrep

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// definition is a flag that is a flagd definition.
func definition(key, text string) flag.Flag {
	return flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeString, Enabled: true, Definition: json.RawMessage(text)}
}

func TestDefinitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands at 2000-01-01
		r := newRig(t)
		const variants = `"state":"ENABLED","variants":{"a":"A","b":"B"},"defaultVariant":"a"`
		r.put(
			definition("static", `{`+variants+`,"metadata":{"team":"x","n":3,"flagSetId":"theirs","version":"7"}}`),
			definition("rule", `{`+variants+`,"targeting":{"if":[{"==":[{"var":"country"},"DE"]},"b",null]}}`),
			definition("unknown", `{`+variants+`,"targeting":{"if":[{"==":[{"var":"country"},"DE"]},"c","a"]}}`),
			definition("clock", `{`+variants+`,"targeting":{"if":[{">":[{"var":"$flagd.timestamp"},946684805]},"b","a"]}}`),
			definition("off", `{"state":"DISABLED","variants":{"a":"A"},"defaultVariant":"a"}`),
		)
		const meta = `"metadata":{"flagSetId":"default"}`
		const german = `{"context":{"country":"DE"}}`
		for _, c := range []struct {
			name, key, body string
			after           time.Duration
			status          int
			want            string
		}{
			{name: "metadata of its own", key: "static", status: 200,
				want: `{"key":"static","reason":"STATIC","variant":"a","value":"A","metadata":{"flagSetId":"default","n":3,"team":"x","version":"7"}}`},
			{name: "match", key: "rule", body: german, status: 200, want: `{"key":"rule","reason":"TARGETING_MATCH","variant":"b","value":"B",` + meta + `}`},
			{name: "no match", key: "rule", status: 200, want: `{"key":"rule","reason":"DEFAULT","variant":"a","value":"A",` + meta + `}`},
			{name: "variant that there is not", key: "unknown", body: german, status: 400,
				want: `{"key":"unknown","errorCode":"GENERAL","errorDetails":"the flag's definition cannot be evaluated for this context: correct the definition",` + meta + `}`},
			{name: "before the time", key: "clock", status: 200, want: `{"key":"clock","reason":"TARGETING_MATCH","variant":"a","value":"A",` + meta + `}`},
			{name: "after the time", key: "clock", after: 10 * time.Second, status: 200,
				want: `{"key":"clock","reason":"TARGETING_MATCH","variant":"b","value":"B",` + meta + `}`},
			{name: "disabled", key: "off", status: 200, want: `{"key":"off","reason":"DISABLED",` + meta + `}`},
		} {
			time.Sleep(c.after)
			if a := r.post(pathFlags+"/"+c.key, c.body); a.status != c.status || a.body != c.want {
				t.Errorf("%s: %d\n got %s\nwant %s", c.name, a.status, a.body, c.want)
			}
		}
		w := r.post(pathFlags, german).whole()
		if got := w.Flags[4]; got.Key != "unknown" || got.ErrorCode != "GENERAL" {
			t.Errorf("among all flags: %+v", got)
		}
	})
}
