package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

var roles = []control.Role{control.RoleSDK, control.RoleViewer, control.RoleEditor, control.RoleAdmin}

// sdkRoutes are all that an SDK key may reach.
var sdkRoutes = []string{"GET /api/v1/snapshot", "GET /api/v1/stream", "GET /api/v1/parts/{digest}", "POST /v1/traces", "POST /v1/metrics"}

// open are the routes without credentials, each with its reason.
var open = map[string]string{
	"POST /api/v1/login": "its code is the credential",
	"GET /login":         "its code is the credential",
	"GET /livez":         "probes have no credentials, and it tells nothing",
	"GET /readyz":        "probes have no credentials, and it tells only of the server",
}

func TestEveryRouteAsksForARole(t *testing.T) {
	b := newBench(t)
	for _, rt := range routes() {
		name := rt.method + " " + rt.path
		if rt.need == (auth.Need{}) {
			t.Errorf("%s: nobody said who may use it", name)
		}
		if (open[name] != "") != rt.need.Open() {
			t.Errorf("%s: open is %v; give the reason in the table of this test, or ask for a role", name, rt.need.Open())
			continue
		}
		if rt.need.Open() {
			continue
		}
		path := strings.NewReplacer("{key}", "x", "{id}", "x", "{revision}", "1", "{$}", "").Replace(rt.path)
		if a := b.send(rt.method, path, "", "as: nobody"); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a token: %d %s", name, a.status, a.body)
		}
		if a := b.send(rt.method, path, "", "Authorization: Bearer st_api_wrong"); a.status != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d %s", name, a.status, a.body)
		}
		for _, role := range roles {
			may := role.Includes(rt.need.Role()) && !(role == control.RoleViewer && name == "GET /api/v1/stream") // it has secrets
			a := b.send(rt.method, path, "", "as: "+string(role))
			if (a.status == http.StatusForbidden) == may || a.status == http.StatusUnauthorized {
				t.Errorf("%s as %s: %d, allowed: %v", name, role, a.status, may)
			}
			if role == control.RoleSDK && may != contains(sdkRoutes, name) {
				t.Errorf("%s: open for SDK keys is %v", name, may)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

func TestARouteWithoutANeedLetsNobodyIn(t *testing.T) {
	b := newBench(t)
	rt := &route{method: "GET", path: "/forgotten", handle: func(*call) error { t.Error("it was served"); return nil }}
	b.api.table.Handle("GET /forgotten", rt)
	b.send("GET", "/forgotten", "").wantProblem(control.CodePermission)
	b.send("GET", "/forgotten", "", "as: nobody").wantProblem(control.CodeUnauthenticated)
}

func TestALoginCodeWorksOnce(t *testing.T) {
	b := newBench(t)
	code := b.auth.NewCode("somebody", control.RoleEditor)
	body := `{"code":"` + code + `"}`
	var s struct{ Token, Role string }
	if b.send("POST", v1+"/login", body, "as: nobody").want(200).json(&s); s.Role != "editor" {
		t.Fatalf("got %+v", s)
	}
	b.send("POST", v1+"/login", body, "as: nobody").wantProblem(control.CodeUnauthenticated)
	as := "Authorization: Bearer " + s.Token
	b.send("POST", v1+"/flags", searchFlag, as).want(201)
	b.send("GET", v1+"/tokens", "", as).wantProblem(control.CodePermission)
	var p page[control.Change]
	b.send("GET", v1+"/flags/search/history", "").json(&p)
	if actor := p.Items[0].Actor; !strings.HasPrefix(actor, "session:") || !strings.HasSuffix(actor, "(somebody)") {
		t.Fatalf("the log says %q", actor)
	}
	if strings.Contains(b.log.String(), code) || strings.Contains(b.log.String(), s.Token) {
		t.Fatal("the log has secrets")
	}
}

func TestALinkSignsABrowserIn(t *testing.T) {
	b := newBench(t)
	path := "/login?code=" + b.auth.NewCode("somebody", control.RoleAdmin)
	b.send("HEAD", path, "", "as: nobody").want(405)
	b.send("GET", path, "", "as: nobody", "Sec-Purpose: prefetch").want(405)
	signedIn := b.send("GET", path, "", "as: nobody", "Host: localhost:8420").want(303)
	if to := signedIn.header.Get("Location"); to != "/" {
		t.Fatalf("it leads to %q", to)
	}
	cookie := signedIn.header.Get("Set-Cookie")
	for _, part := range []string{"seatrial-session-8420=st_session_", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="} {
		if !strings.Contains(cookie, part) {
			t.Errorf("%q is not in the cookie %q", part, cookie)
		}
	}
	if again := b.send("GET", path, "", "as: nobody").want(401); !strings.Contains(string(again.body), "Sign in") {
		t.Fatalf("the second time gives %s", again.body)
	}
	pair, _, _ := strings.Cut(cookie, ";")
	from := []string{"as: nobody", "Host: localhost:8420", "Cookie: " + pair}
	if home := b.send("GET", "/", "", from...).want(200); !strings.Contains(string(home.body), "somebody") {
		t.Fatalf("got %s", home.body)
	}
	b.send("GET", "/", "", "as: nobody", "Host: localhost:9999", "Cookie: "+pair).want(401)

	// Pages of other origins cannot act with it, our own can.
	for _, foreign := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://evil.example", "Origin: http://localhost:1"} {
		b.send("POST", v1+"/flags", searchFlag, append(from, foreign)...).wantProblem(control.CodePermission)
		b.send("GET", v1+"/flags", "", append(from, foreign)...).want(200) // SameSite keeps the cookie away; reading changes nothing
	}
	b.send("POST", v1+"/flags", searchFlag, append(from, "Sec-Fetch-Site: same-origin", "Origin: http://localhost:8420")...).want(201)
	b.send("POST", v1+"/login", `{"code":"x"}`, "as: nobody", "Sec-Fetch-Site: cross-site").wantProblem(control.CodePermission)
	b.send("POST", "/logout", "", append(from, "Sec-Fetch-Site: cross-site")...).want(403)

	out := b.send("POST", "/logout", "", from...).want(303)
	if !strings.Contains(out.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Fatalf("the cookie stays: %q", out.header.Get("Set-Cookie"))
	}
	b.send("GET", "/", "", from...).want(401)
}

func TestTheCookieIsSecureOverTLS(t *testing.T) {
	b := newBench(t)
	server := httptest.NewTLSServer(b.handler)
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(server.URL + "/login?code=" + b.auth.NewCode("x", control.RoleViewer))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if cookie := res.Header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
		t.Fatalf("got %d %q", res.StatusCode, cookie)
	}
}

func TestALocalServerAnswersToLocalNamesOnly(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Auth = auth.New(c.Service, true) })
	for _, host := range []string{"localhost", "localhost:8420", "LOCALHOST:1", "127.0.0.1:8420", "127.8.9.1", "[::1]:8420", "[::1]"} {
		b.send("GET", "/livez", "", "Host: "+host).want(200)
	}
	for _, host := range []string{"evil.example", "evil.example:8420", "localhost.evil.example", "192.0.2.1:8420", "0.0.0.0:8420", "[::2]:1", ""} {
		b.send("GET", "/livez", "", "Host: "+host).wantProblem(codeHost)
		b.send("GET", "/nothing", "", "Host: "+host).wantProblem(codeHost)
	}
	other := newBench(t)
	other.send("GET", "/livez", "", "Host: flags.example.com").want(200)
}

func TestTelemetryIsRefusedInItsOwnForm(t *testing.T) {
	b := newBench(t)
	a := b.send("POST", "/v1/traces", `{}`, "as: nobody").want(401)
	var status struct {
		Code    int
		Message string
	}
	if a.json(&status); status.Code != 16 || status.Message == "" {
		t.Fatalf("got %s", a.body)
	}
	b.send("POST", "/v1/traces", "\x00", "as: nobody", "Content-Type: application/x-protobuf").want(401)
}

func TestAPanicIsAnAnswer(t *testing.T) {
	b := newBench(t)
	b.api.table.Handle("GET /panic", &route{need: auth.Anyone(), handle: func(*call) error { panic("secret detail") }})
	p := b.send("GET", "/panic", "").wantProblem(control.CodeInternal)
	if strings.Contains(p.Detail, "secret") {
		t.Fatalf("the client is told %q", p.Detail)
	}
	if log := b.log.String(); !strings.Contains(log, "secret detail") || !strings.Contains(log, p.RequestID) {
		t.Fatalf("the log does not tell: %s", log)
	}
	b.send("GET", "/livez", "").want(200)
	if st := b.api.Stats(); st.Panics != 1 || st.InFlight != 0 || st.Answered[5] != 1 || st.Answered[2] != 1 {
		t.Fatalf("got %+v", st)
	}
	b.api.table.Handle("GET /half", &route{need: auth.Anyone(), handle: func(c *call) error {
		c.w.Write([]byte("half"))
		panic("then")
	}})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Fatalf("a half answer must look broken, got %v", v)
		}
	}()
	b.send("GET", "/half", "")
}

func TestDefectsAreNotShown(t *testing.T) {
	b := newBench(t)
	b.api.table.Handle("GET /defect", &route{need: auth.Anyone(), handle: func(*call) error { return errors.New("disk /dev/x") }})
	p := b.send("GET", "/defect", "").wantProblem(control.CodeInternal)
	if strings.Contains(p.Detail, "disk") || !strings.Contains(b.log.String(), "disk /dev/x") {
		t.Fatalf("got %q, logged %s", p.Detail, b.log.String())
	}
}

func TestTooMuchWorkIsRefused(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxRequests, c.MaxTelemetry = 1, 1 })
	inside, leave := make(chan struct{}), make(chan struct{})
	b.api.table.Handle("GET /slow", &route{need: auth.Anyone(), handle: func(*call) error {
		inside <- struct{}{}
		<-leave
		return nil
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/slow", nil))
	}()
	<-inside
	a := b.send("GET", v1+"/flags", "")
	if a.wantProblem(control.CodeUnavailable); a.header.Get("Retry-After") != "1" {
		t.Fatalf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	b.send("POST", "/v1/traces", "{}").want(200)         // has its own room
	b.send("GET", v1+"/stream", "", "as: sdk").want(200) // has the hub's
	b.send("POST", v1+"/halt", "").want(200)             // an emergency stop is not refused for load
	leave <- struct{}{}
	<-done
	b.send("GET", v1+"/flags", "").want(200)
	if st := b.api.Stats(); st.Overloaded != 1 {
		t.Fatalf("got %+v", st)
	}
}
