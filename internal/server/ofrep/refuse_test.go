package ofrep

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestRefusals(t *testing.T) {
	small := func(c *Config) { c.Limits.Body = 64 }
	deny := func(err error) func(*Config) {
		return func(c *Config) {
			c.Authenticate = func(*http.Request) (control.Principal, error) { return control.Principal{}, err }
		}
	}
	for _, c := range []struct {
		name    string
		change  func(*Config)
		path    string
		body    string
		headers []string
		status  int
		code    string
		key     string
		retry   string
	}{
		{name: "no key", path: pathFlags, headers: []string{"as: nobody"}, status: 401, code: "GENERAL"},
		{name: "wrong key", path: pathFlags + "/a/b", headers: []string{"Authorization: Bearer st_sdk_x", "as: nobody"}, status: 401, code: "GENERAL", key: "a/b"},
		{name: "key of another environment", path: pathFlags, headers: []string{"as: elsewhere", "Flagd-Selector: flagSetId=default"}, status: 403, code: "GENERAL"},
		{name: "unknown environment", path: pathFlags + "/plain", headers: []string{"Flagd-Selector: flagSetId=moon"}, status: 400, code: "GENERAL", key: "plain"},
		{name: "unknown selector", path: pathFlags, headers: []string{"Flagd-Selector: source=x"}, status: 400, code: "GENERAL"},
		{name: "unknown flag", path: pathFlags + "/x", status: 404, code: "FLAG_NOT_FOUND", key: "x"},
		{name: "bad body", path: pathFlags, body: `{`, status: 400, code: "PARSE_ERROR"},
		{name: "long body", change: small, path: pathFlags + "/plain", body: strings.Repeat(" ", 65), status: 413, code: "GENERAL", key: "plain"},
		{name: "body of the limit", change: small, path: pathFlags + "/plain", body: strings.Repeat(" ", 64), status: 200},
		{name: "guessing", change: deny(&auth.TooMany{RetryAfter: 5500 * time.Millisecond}), path: pathFlags, status: 429, code: "GENERAL", retry: "6"},
		{name: "no role", change: deny(nil), path: pathFlags, status: 403, code: "GENERAL"},
		{name: "not now", change: deny(&control.Error{Code: control.CodeUnavailable, Message: "no"}), path: pathFlags, status: 503, code: "GENERAL", retry: "1"},
		{name: "defect", change: deny(errors.New("secret of the house")), path: pathFlags + "/plain", status: 500, code: "GENERAL", key: "plain"},
		{name: "unknown path", path: "/ofrep/v2/evaluate", status: 404, code: "GENERAL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*Config) {}
			}
			r := shelf(t, change)
			a := r.post(c.path, c.body, c.headers...).want(c.status)
			var got struct{ Key, ErrorCode, ErrorDetails string }
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%v: %s %s", err, a.header, a.body)
			}
			if c.status == 200 {
				return
			}
			if got.ErrorCode != c.code || got.Key != c.key || got.ErrorDetails == "" || a.header.Get("Retry-After") != c.retry {
				t.Errorf("got %s with Retry-After %q", a.body, a.header.Get("Retry-After"))
			}
			if strings.Contains(a.body, "of the house") {
				t.Error("an inner error is shown outside")
			}
			if c.status == 500 != strings.Contains(r.log.String(), "secret of the house") {
				t.Errorf("the log says %q", r.log.String())
			}
		})
	}
}

func TestMethods(t *testing.T) {
	r := shelf(t)
	for path, allow := range map[string]string{
		pathFlags: "POST, OPTIONS", pathFlags + "/plain": "POST, OPTIONS", pathStream: "GET, OPTIONS",
	} {
		a := r.send("PUT", path, "").want(405)
		if a.header.Get("Allow") != allow {
			t.Errorf("%s allows %q", path, a.header.Get("Allow"))
		}
	}
}

func TestRate(t *testing.T) {
	r := shelf(t, func(c *Config) { c.Limits.Rate = 2 })
	r.post(pathFlags+"/plain", ``).want(200)
	r.post(pathFlags, ``).want(200)
	a := r.post(pathFlags, ``).want(429)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	r.post(pathFlags+"/plain", ``, "as: admin").want(200) // each key has its own
}

func TestNoRate(t *testing.T) {
	r := shelf(t, func(c *Config) { c.Limits.Rate = -1 })
	for range 100 {
		r.post(pathFlags+"/plain", ``).want(200)
	}
}

// TestConcurrent holds an evaluation at its answer and asks for another one.
func TestConcurrent(t *testing.T) {
	r := shelf(t, func(c *Config) { c.Limits.Concurrent = 1 })
	hold := &holding{ResponseRecorder: httptest.NewRecorder(), writing: make(chan bool), goOn: make(chan bool)}
	go r.server.ServeHTTP(hold, r.request("POST", pathFlags, ``))
	<-hold.writing
	if a := r.post(pathFlags+"/plain", ``).want(429); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	hold.goOn <- true
	<-hold.writing
	for r.server.working.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	r.post(pathFlags+"/plain", ``).want(200)
}

type holding struct {
	*httptest.ResponseRecorder
	writing, goOn chan bool
}

func (h *holding) Write(b []byte) (int, error) {
	h.writing <- true
	<-h.goOn
	defer close(h.writing)
	return h.ResponseRecorder.Write(b)
}

func TestBodyThatBreaksOff(t *testing.T) {
	r := shelf(t)
	req := r.request("POST", pathFlags, ``)
	req.Body = broken{}
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	if w.Code != 400 || !bytes.Contains(w.Body.Bytes(), []byte("PARSE_ERROR")) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("cut off") }
func (broken) Close() error             { return nil }

func TestCORS(t *testing.T) {
	r := shelf(t)
	for path, method := range map[string]string{pathFlags: "POST", pathFlags + "/a%2Fb": "POST", pathStream: "GET"} {
		a := r.send("OPTIONS", path, ``, "as: nobody", "Origin: https://shop.example",
			"Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: content-type,flagd-selector").want(204)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": method, "Access-Control-Max-Age": "86400",
			"Access-Control-Allow-Credentials": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, name := range []string{"content-type", "if-none-match", "authorization", "x-api-key", "flagd-selector"} {
			if !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("%s: the header %s is not allowed", path, name)
			}
		}
	}
	tag := r.post(pathFlags, ``).header.Get("ETag")
	for _, a := range []answer{
		r.post(pathFlags, ``, "Origin: null"), r.post(pathFlags+"/plain", ``, "Origin: https://a.example"),
		r.post(pathFlags, ``, "Origin: https://a.example", "as: nobody"), r.post(pathFlags, ``, "Origin: https://a.example", "If-None-Match: "+tag),
		r.post(pathFlags, `{`, "Origin: https://a.example"),
	} {
		if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Expose-Headers") != "ETag, Retry-After" {
			t.Errorf("%d: %v", a.status, a.header)
		}
		if a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("cookies are allowed across origins")
		}
	}
}
