package ofrep

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// shelf is a rig with a flag of each sort.
func shelf(t testing.TB, change ...func(*Config)) *rig {
	r := newRig(t, change...)
	off := boolean("off", func(f *flag.Flag) { f.Enabled = false })
	code := boolean("code", func(f *flag.Flag) { f.DefaultVariant = "" })
	r.put(
		boolean("plain"), off, code,
		boolean("team/search", forClients, onFor("country", `"DE"`)),
		boolean("share", half),
		valued("text", flag.KindConfig, flag.TypeString, `"a \"<b>\" ü"`),
		valued("whole", flag.KindConfig, flag.TypeInteger, `9007199254740991`),
		valued("part", flag.KindConfig, flag.TypeFloat, `0.25`),
		valued("thing", flag.KindConfig, flag.TypeObject, `{"b":[1,"x",null],"a":{"c":true}}`),
		valued("policy", flag.KindPolicy, flag.TypeObject, `null`),
	)
	return r
}

func TestSingle(t *testing.T) {
	const meta = `"metadata":{"flagSetId":"default"}`
	r := shelf(t)
	for _, c := range []struct {
		name, key, body string
		status          int
		want            string
	}{
		{name: "static", key: "plain", body: `{"context":{"targetingKey":"u"}}`, status: 200,
			want: `{"key":"plain","reason":"STATIC","variant":"off","value":false,` + meta + `}`},
		{name: "disabled", key: "off", body: `{}`, status: 200, want: `{"key":"off","reason":"DISABLED",` + meta + `}`},
		{name: "code default", key: "code", body: `{}`, status: 200, want: `{"key":"code","reason":"DEFAULT",` + meta + `}`},
		{name: "rule", key: "team/search", body: `{"context":{"country":"DE"}}`, status: 200,
			want: `{"key":"team/search","reason":"TARGETING_MATCH","variant":"on","value":true,` + meta + `}`},
		{name: "rule, escaped key", key: "team%2Fsearch", body: `{"context":{"country":"AT"}}`, status: 200,
			want: `{"key":"team/search","reason":"DEFAULT","variant":"off","value":false,` + meta + `}`},
		{name: "split", key: "share", body: `{"context":{"targetingKey":"user-1"}}`, status: 200,
			want: `{"key":"share","reason":"SPLIT","variant":"on","value":true,` + meta + `}`},
		{name: "split without key", key: "share", body: `{"context":{}}`, status: 200,
			want: `{"key":"share","reason":"DEFAULT","variant":"off","value":false,` + meta + `}`},
		{name: "text", key: "text", body: ``, status: 200,
			want: `{"key":"text","reason":"STATIC","variant":"v","value":"a \"<b>\" ü",` + meta + `}`},
		{name: "integer", key: "whole", body: ` `, status: 200,
			want: `{"key":"whole","reason":"STATIC","variant":"v","value":9007199254740991,` + meta + `}`},
		{name: "float", key: "part", body: `{"context":null}`, status: 200,
			want: `{"key":"part","reason":"STATIC","variant":"v","value":0.25,` + meta + `}`},
		{name: "object", key: "thing", body: `{"context":[1]}`, status: 200,
			want: `{"key":"thing","reason":"STATIC","variant":"v","value":{"a":{"c":true},"b":[1,"x",null]},` + meta + `}`},
		{name: "null is the code's default", key: "policy", body: `null`, status: 200,
			want: `{"key":"policy","reason":"STATIC","variant":"v",` + meta + `}`},
		{name: "unknown", key: "nowhere", body: `{}`, status: 404,
			want: `{"key":"nowhere","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no flag of this key here, or it is not for clients"}`},
		{name: "not JSON", key: "plain", body: `{"context":`, status: 400,
			want: `{"key":"plain","errorCode":"PARSE_ERROR","errorDetails":"the body is not valid JSON at byte 11: it ends too early"}`},
		{name: "not an object", key: "plain", body: `[]`, status: 400,
			want: `{"key":"plain","errorCode":"PARSE_ERROR","errorDetails":"the body is not a JSON object; write {\"context\":{…}}"}`},
		{name: "targeting key is a number", key: "share", body: `{"context":{"targetingKey":7}}`, status: 200,
			want: `{"key":"share","reason":"DEFAULT","variant":"off","value":false,` + meta + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.post(pathFlags+"/"+c.key, c.body)
			if a.status != c.status || a.body != c.want {
				t.Errorf("%d\n got %s\nwant %s", a.status, a.body, c.want)
			}
			if got := a.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
			if got := a.header.Get("Content-Length"); got != fmt.Sprint(len(a.body)) {
				t.Errorf("content length %q of %d", got, len(a.body))
			}
		})
	}
}

// wholeAnswer is an answer for all flags.
type wholeAnswer struct {
	Flags []struct {
		Key, Reason, Variant, ErrorCode string
		Value                           any
		Metadata                        map[string]any
	}
	Metadata     map[string]any
	EventStreams []struct {
		Type     string
		Endpoint struct{ RequestURI string }
	}
}

func (a answer) whole() (w wholeAnswer) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.want(200).body), &w); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return w
}

func (w wholeAnswer) keys() (list []string) {
	for _, f := range w.Flags {
		list = append(list, f.Key)
	}
	return list
}

func TestBulkIsEverySingle(t *testing.T) {
	r := shelf(t)
	for _, body := range []string{``, `{"context":{"targetingKey":"user-1","country":"DE"}}`} {
		want := []string{}
		for _, key := range []string{"code", "off", "part", "plain", "policy", "share", "team/search", "text", "thing", "whole"} {
			want = append(want, r.post(pathFlags+"/"+key, body).want(200).body)
		}
		for _, path := range []string{pathFlags, pathFlags + "/"} {
			a := r.post(path, body)
			prefix := fmt.Sprintf(`{"flags":[%s],"metadata":{"flagSetId":"default","version":%d},"eventStreams":[`,
				strings.Join(want, ","), r.main().Head().Revision)
			if !strings.HasPrefix(a.body, prefix) {
				t.Errorf("got  %s\nwant %s", a.body, prefix)
			}
			a.whole()
		}
	}
}

func TestBulkWithoutFlags(t *testing.T) {
	r := newRig(t)
	if a := r.post(pathFlags, `{}`); !strings.HasPrefix(a.body, `{"flags":[],"metadata":{`) {
		t.Error(a.body)
	}
}

func TestTagCoversContextAndFlags(t *testing.T) {
	r := shelf(t)
	tag := func(body string, headers ...string) string {
		t.Helper()
		tag := r.post(pathFlags, body, headers...).want(200).header.Get("ETag")
		if len(tag) != 18 || tag[0] != '"' {
			t.Fatalf("tag %s is not a strong one", tag)
		}
		return tag
	}
	const one, two = `{"context":{"targetingKey":"u","country":"DE"}}`, `{"context":{"targetingKey":"u","country":"AT"}}`
	first := tag(one)
	if again := tag(one); again != first {
		t.Errorf("the same question has tags %s and %s", first, again)
	}
	if other := tag(two); other == first {
		t.Error("another context has the same tag, though another answer")
	}
	if other := tag(one, "as: client"); other == first {
		t.Error("another key, which sees other flags, has the same tag")
	}
	if other := tag(one, "Flagd-Selector: flagSetId=staging"); other == first {
		t.Error("another environment has the same tag")
	}
	r.put(boolean("plain", func(f *flag.Flag) { f.DefaultVariant = "on" }))
	if other := tag(one); other == first {
		t.Error("another state of the flags has the same tag")
	}
}

func TestNotModified(t *testing.T) {
	r := shelf(t)
	tag := r.post(pathFlags, `{}`).header.Get("ETag")
	for _, c := range []struct {
		name, header string
		status       int
	}{
		{name: "the tag", header: tag, status: 304},
		{name: "weak", header: "W/" + tag, status: 304},
		{name: "in a list", header: `"x", ` + tag, status: 304},
		{name: "any", header: "*", status: 304},
		{name: "another", header: `"0123456789abcdef"`, status: 200},
		{name: "without quotes", header: strings.Trim(tag, `"`), status: 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.post(pathFlags, `{}`, "If-None-Match: "+c.header)
			if a.status != c.status || (a.status == 304) != (a.body == "") {
				t.Errorf("status %d, body %q", a.status, a.body)
			}
			if a.header.Get("ETag") != tag {
				t.Errorf("tag %s, want %s", a.header.Get("ETag"), tag)
			}
		})
	}
	if got := r.server.Stats().NotModified; got != 4 {
		t.Errorf("counted %d answers without change", got)
	}
}

func TestTrialIsNeverStatic(t *testing.T) {
	r := shelf(t)
	spec := trial.Spec{Name: "search", Flag: "plain", Treatment: "on", Control: "off"}
	entry, err := r.main().StartTrial(t.Context(), spec, ana)
	if err != nil {
		t.Fatal(err)
	}
	version := r.main().Snapshot().Set.Allocations[0].Version
	for i := range 300 {
		a := r.post(pathFlags+"/plain", fmt.Sprintf(`{"context":{"targetingKey":"user-%d"}}`, i)).want(200)
		if strings.Contains(a.body, "STATIC") || !strings.Contains(a.body, `"version":"`+version+`"`) {
			t.Fatal(a.body)
		}
	}
	if a := r.post(pathFlags+"/plain", ``); !strings.Contains(a.body, `"reason":"DEFAULT"`) {
		t.Error(a.body)
	}
	if _, err := r.main().CommandTrial(t.Context(), entry.Spec.Name, "abort", ana); err != nil {
		t.Fatal(err)
	}
	if a := r.post(pathFlags+"/plain", ``); !strings.Contains(a.body, `"reason":"STATIC"`) || strings.Contains(a.body, "version") {
		t.Error(a.body)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	r := shelf(t)
	if got := r.post(pathFlags, ``, "as: client").whole().keys(); len(got) != 1 || got[0] != "team/search" {
		t.Errorf("a client key sees %v", got)
	}
	r.post(pathFlags+"/team/search", ``, "as: client").want(200)
	r.post(pathFlags+"/plain", ``, "as: client").want(404)
	r.post(pathFlags+"/plain", ``, "as: nobody", "X-API-Key: "+r.tokens["sdk"]).want(200)
	r.post(pathFlags+"/plain", ``, "as: admin").want(200)
	if _, err := r.services["staging"].PutFlag(t.Context(), boolean("new"), ana); err != nil {
		t.Fatal(err)
	}
	for _, headers := range [][]string{
		{"Flagd-Selector: flagSetId=staging"}, {"Flagd-Selector: staging"}, {"as: elsewhere"},
	} {
		w := r.post(pathFlags, ``, headers...).whole()
		if got := w.keys(); len(got) != 1 || got[0] != "new" || w.Metadata["flagSetId"] != "staging" || w.Flags[0].Metadata["flagSetId"] != "staging" {
			t.Errorf("%v: %v of %v", headers, got, w.Metadata)
		}
	}
}

func TestStatesFollow(t *testing.T) {
	r := newRig(t)
	r.put(boolean("f"))
	for i := range 5 {
		variant := []string{"on", "off"}[i%2]
		r.put(boolean("f", func(f *flag.Flag) { f.DefaultVariant = variant }))
		if a := r.post(pathFlags+"/f", ``); !strings.Contains(a.body, `"variant":"`+variant+`"`) {
			t.Fatalf("after change %d: %s", i, a.body)
		}
	}
	if _, err := r.main().DeleteFlag(t.Context(), "f", ana); err != nil {
		t.Fatal(err)
	}
	r.post(pathFlags+"/f", ``).want(404)
}

func TestConcurrentEvaluations(t *testing.T) {
	r := shelf(t)
	done := make(chan bool)
	for range 4 {
		go func() {
			for i := range 200 {
				key := fmt.Sprintf("user-%d", i)
				body := `{"context":{"targetingKey":"` + key + `","country":"DE"}}`
				a, b := r.post(pathFlags, body), r.post(pathFlags+"/share", body)
				if !strings.Contains(a.body, b.body) || !strings.Contains(a.body, `"reason":"TARGETING_MATCH","variant":"on"`) {
					t.Errorf("%s\nlacks %s", a.body, b.body)
				}
			}
			done <- true
		}()
	}
	for i := range 20 {
		r.put(boolean("noise", func(f *flag.Flag) { f.Description = fmt.Sprint(i) }))
	}
	for range 4 {
		<-done
	}
}
