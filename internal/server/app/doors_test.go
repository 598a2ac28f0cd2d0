package app

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

const clientSide = `{"key":"banner","kind":"release","type":"boolean","enabled":true,"clientSide":true,
	"variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"on"}`

func post(t *testing.T, url, path, body string, headers ...string) (int, string) {
	t.Helper()
	c := &client{t: t, url: url, http: http.DefaultClient}
	req, err := http.NewRequest("POST", url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return c.do(req)
}

// Stock clients evaluate on the one port and on others, in the environment that they name, and a
// browser's key shows what is for clients only.
func TestDoors(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	cfg := Config{Addr: "127.0.0.1:0", DataDir: sqlite.Memory, Bootstrap: io.Discard, AlsoListen: []string{addr}}
	s := start(t, cfg)
	admin := connect(t, s, adminToken)
	admin.want(201, "POST", "/api/v1/environments", `{"key":"staging"}`)
	admin.want(201, "POST", "/api/v1/flags", searchFlag)
	admin.want(201, "POST", "/api/v1/flags?environment=staging", clientSide)
	web, err := s.CreateToken(t.Context(), control.NewToken{Name: "web", Kind: control.TokenClient, Environment: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := s.CreateToken(t.Context(), control.NewToken{Name: "sdk", Kind: control.TokenSDK})
	if err != nil {
		t.Fatal(err)
	}
	const one, sync, resolve = "/ofrep/v1/evaluate/flags/", "/flagd.sync.v1.FlagSyncService/FetchAllFlags", "/flagd.evaluation.v2.Service/ResolveBoolean"
	for _, test := range []struct {
		name, url, path, body, key, header string
		status                             int
		answer                             string
	}{
		{"no key", s.URL(), one + "search", "{}", "", "", 401, ""},
		{"a wrong key", s.URL(), one + "search", "{}", "st_sdk_wrong", "", 401, ""},
		{"one flag", s.URL(), one + "search", "{}", sdk, "", 200, `"variant":"off"`},
		{"another port", "http://" + addr, one + "search", "{}", sdk, "", 200, `"variant":"off"`},
		{"another environment", s.URL(), one + "banner", "{}", sdk, "Flagd-Selector: flagSetId=staging", 200, `"variant":"on"`},
		{"none such", s.URL(), one + "banner", "{}", sdk, "Flagd-Selector: flagSetId=nowhere", 400, "no environment"},
		{"a client key in its environment", s.URL(), one + "banner", "{}", web, "", 200, `"variant":"on"`},
		{"a client key elsewhere", s.URL(), one + "search", "{}", web, "Flagd-Selector: flagSetId=default", 403, ""},
		{"rpc", s.URL(), resolve, `{"flagKey":"search"}`, sdk, "", 200, `"variant":"off"`},
		{"rpc with a client key", s.URL(), resolve, `{"flagKey":"banner"}`, web, "", 200, `"variant":"on"`},
		{"sync", s.URL(), sync, `{}`, sdk, "", 200, `search`},
		{"sync with a client key", s.URL(), sync, `{}`, web, "", 403, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			headers := []string{}
			if test.key != "" {
				headers = append(headers, "Authorization: Bearer "+test.key)
			}
			if test.header != "" {
				headers = append(headers, test.header)
			}
			status, answer := post(t, test.url, test.path, test.body, headers...)
			if status != test.status || !strings.Contains(answer, test.answer) {
				t.Errorf("%d %s, want %d and %s", status, answer, test.status, test.answer)
			}
		})
	}
}

// A local server answers without a key, but not to pages that came by another name.
func TestOpenEvaluation(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	connect(t, s, adminToken).want(201, "POST", "/api/v1/flags", searchFlag)
	if status, answer := post(t, s.URL(), "/ofrep/v1/evaluate/flags", "{}"); status != 200 || !strings.Contains(answer, `"search"`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := post(t, s.URL(), "/ofrep/v1/evaluate/flags", "{}", "Origin: https://evil.example"); status != 200 || strings.Contains(answer, `"search"`) {
		t.Errorf("a page of another origin: %d %s", status, answer)
	}
	if status, answer := post(t, s.URL(), "/ofrep/v1/evaluate/flags", "{}", "X-API-Key: st_sdk_wrong"); status != 401 {
		t.Errorf("a wrong key: %d %s", status, answer)
	}
	req, err := http.NewRequest("POST", s.URL()+"/ofrep/v1/evaluate/flags", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	c := &client{t: t, http: http.DefaultClient}
	if status, answer := c.do(req); status != 403 {
		t.Errorf("by another name: %d %s", status, answer)
	}
}
