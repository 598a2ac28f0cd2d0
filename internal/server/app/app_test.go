package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// client talks to a server with a token.
type client struct {
	t      *testing.T
	url    string
	secret string
	http   *http.Client
}

// start runs a server until the test ends.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func local(dir string) Config { return Config{Addr: "127.0.0.1:0", DataDir: dir, Local: true} }

func connect(t *testing.T, s *Server, token control.NewToken) *client {
	t.Helper()
	secret, err := s.CreateToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, url: s.URL(), secret: secret, http: http.DefaultClient}
}

var adminToken = control.NewToken{Name: "test", Kind: control.TokenAPI, Role: control.RoleAdmin}

func (c *client) send(method, path, body string) (status int, answer string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.secret)
	req.Header.Set("Content-Type", "application/json")
	return c.do(req)
}

func (c *client) do(req *http.Request) (status int, answer string) {
	c.t.Helper()
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func (c *client) want(status int, method, path, body string) string {
	c.t.Helper()
	got, answer := c.send(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, answer)
	}
	return answer
}

const searchFlag = `{"key":"search","kind":"release","type":"boolean","enabled":true,
	"variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"off"}`

func TestConfigIsCheckedAsAWhole(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, test := range []struct {
		name  string
		cfg   Config
		wrong []string
	}{
		{"nothing", Config{}, []string{"data directory", "address"}},
		{"both", Config{DataDir: "x", Addr: "127.0.0.1:1", Listener: ln}, []string{"either"}},
		{"no port", Config{DataDir: "x", Addr: "127.0.0.1"}, []string{"host:port"}},
		{"local on all", Config{DataDir: "x", Addr: ":8420", Local: true}, []string{"this machine"}},
		{"local on another", Config{DataDir: "x", Addr: "192.0.2.1:8420", Local: true}, []string{"this machine"}},
		{"environment", Config{DataDir: "x", Addr: ":1", Environment: "a b"}, []string{"environment"}},
		{"several", Config{Addr: ":1", DrainDelay: -1, MaxConnections: -1}, []string{"data directory", "drain delay", "connections"}},
	} {
		_, err := Start(t.Context(), test.cfg)
		for _, part := range test.wrong {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want something about %q", test.name, err, part)
			}
		}
	}
	for _, addr := range []string{"127.0.0.1:1", "localhost:1", "[::1]:1", "127.3.4.5:1"} {
		if _, err := (Config{DataDir: "x", Addr: addr, Local: true}).check(); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestTheNextFreePortIsTaken(t *testing.T) {
	first := start(t, local(sqlite.Memory))
	cfg := Config{Addr: strings.TrimPrefix(first.URL(), "http://"), DataDir: sqlite.Memory, Local: true}
	if _, err := Start(t.Context(), cfg); err == nil {
		t.Fatal("two servers on one port")
	}
	cfg.NextFreePort = true
	second := start(t, cfg)
	if second.URL() == first.URL() {
		t.Fatal("two servers on one port")
	}
	(&client{t: t, url: second.URL(), http: http.DefaultClient}).want(200, "GET", "/readyz", "")
}

func TestStateOutlivesTheServer(t *testing.T) {
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	for name, ending := range map[string]context.Context{"stopped": context.Background(), "killed": cut} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, local(dir))
			c := connect(t, s, adminToken)
			c.want(201, "POST", "/api/v1/flags", searchFlag)
			head := s.environments.first.service.Head()
			if _, err := Start(t.Context(), local(dir)); !errors.Is(err, sqlite.ErrLocked) {
				t.Fatalf("two servers on one folder: %v", err)
			}
			if err := s.Close(ending); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Close(ending), s.Wait()); err != nil {
				t.Fatalf("the second time: %v", err)
			}
			again := start(t, local(dir))
			if again.environments.first.service.Head() != head {
				t.Fatalf("at %+v, was at %+v", again.environments.first.service.Head(), head)
			}
			c.url = again.URL()
			c.want(200, "GET", "/api/v1/flags/search", "") // with the token from before
		})
	}
}

func TestANewServerCanBeEnteredOnce(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	cfg := Config{Addr: "127.0.0.1:0", DataDir: dir, Bootstrap: &said}
	s := start(t, cfg)
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/login\?code=\w+`).FindString(said.String())
	if !strings.HasPrefix(link, s.URL()) {
		t.Fatalf("said %q", said.String())
	}
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	page := get(t, browser, link)
	if !strings.Contains(page, "No trial is running") || !strings.Contains(page, "one-time link (admin)") {
		t.Fatalf("the page is %s", page)
	}
	if again := get(t, &http.Client{}, link); !strings.Contains(again, "Sign in") {
		t.Fatalf("the link works twice: %s", again)
	}
	connect(t, s, adminToken)
	s.Close(t.Context())
	said.Reset()
	s = start(t, cfg)
	if said.Len() > 0 {
		t.Fatalf("there is an admin token, and still it says %q", said.String())
	}
	if page := get(t, browser, s.LoginLink()); !strings.Contains(page, "Newest changes") {
		t.Fatalf("the page is %s", page)
	}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestOnePortSpeaksHTTP1AndHTTP2(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	for _, major := range []int{1, 2} {
		var p http.Protocols
		p.SetHTTP1(major == 1)
		p.SetUnencryptedHTTP2(major == 2)
		transport := &http.Transport{Protocols: &p}
		res, err := (&http.Client{Transport: transport}).Get(s.URL() + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		transport.CloseIdleConnections()
		if res.ProtoMajor != major || res.StatusCode != 200 {
			t.Errorf("asked in HTTP/%d, got %s %s", major, res.Proto, res.Status)
		}
	}
}

func TestALocalServerIsNotReachedByOtherNames(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	req, _ := http.NewRequest("GET", s.URL()+"/livez", nil)
	req.Host = "rebound.example"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Fatalf("got %s", res.Status)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	cfg := local(sqlite.Memory)
	cfg.MaxConnections = 1
	s := start(t, cfg)
	one := &http.Transport{}
	res, err := (&http.Client{Transport: one}).Get(s.URL() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", s.URL()+"/livez", nil)
	if _, err := (&http.Client{Transport: &http.Transport{}}).Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second connection was served: %v", err)
	}
	one.CloseIdleConnections()
	get(t, &http.Client{Transport: &http.Transport{}}, s.URL()+"/livez")
}

func TestProblemsAreJSON(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	c := connect(t, s, control.NewToken{Name: "app", Kind: control.TokenSDK})
	var p struct{ Code string }
	if err := json.Unmarshal([]byte(c.want(403, "GET", "/api/v1/flags", "")), &p); err != nil || p.Code != "permission_denied" {
		t.Fatalf("%+v, %v", p, err)
	}
	c.want(200, "POST", "/v1/traces", "{}")
	c.want(200, "GET", "/api/v1/snapshot", "")
}

// A log that this version cannot read is an error that says so, and leaves the folder usable.
func TestUnreadableLogIsRefused(t *testing.T) {
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Append(t.Context(), 0, control.Draft{Actor: "ana", Time: time.Now(), Ops: []control.Op{{Kind: control.KindTrial, Key: "t", Value: []byte(`{"invented":true}`)}}})
	if err = errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the folder's lock is given back
		server, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", DataDir: dir, Bootstrap: io.Discard})
		if err == nil {
			_ = server.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), `trial "t" cannot be read`) {
			t.Fatalf("got error %v", err)
		}
	}
}
