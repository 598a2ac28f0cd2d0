package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// book is a list of tokens.
type book map[string]control.Principal

func (b book) Authenticate(secret string) (control.Principal, error) {
	if p, ok := b[secret]; ok {
		return p, nil
	}
	return control.Principal{}, &control.Error{Code: control.CodeUnauthenticated, Message: "unknown"}
}

func request(address, authorization string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = address
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func wantCode(t *testing.T, err error, code control.Code) {
	t.Helper()
	if control.CodeOf(err) != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
}

const here = "192.0.2.7:1000"

func TestACodeIsUsedOnceAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(book{}, false)
		first, second := a.NewCode("a", control.RoleViewer), a.NewCode("b", control.RoleAdmin)
		if first == second || len(first) < 40 {
			t.Fatalf("codes %q and %q", first, second)
		}
		time.Sleep(codeLife)
		secret, p, err := a.Exchange(request(here, ""), first)
		if err != nil || p.Name != "a" || p.Role != control.RoleViewer || p.Kind != control.TokenSession {
			t.Fatalf("got %+v, %v", p, err)
		}
		if got, err := a.Authorize(request(here, "Bearer "+secret), AtLeast(control.RoleViewer)); err != nil || got != p {
			t.Fatalf("got %+v, %v", got, err)
		}
		_, _, err = a.Exchange(request(here, ""), first)
		wantCode(t, err, control.CodeUnauthenticated)
		time.Sleep(time.Nanosecond)
		_, _, err = a.Exchange(request(here, ""), second)
		wantCode(t, err, control.CodeUnauthenticated)
		_, _, err = a.Exchange(request(here, ""), "")
		wantCode(t, err, control.CodeUnauthenticated)
	})
}

func TestOldCodesMakeRoom(t *testing.T) {
	a := New(book{}, false)
	codes := make([]string, maxCodes+1)
	for i := range codes {
		codes[i] = a.NewCode("x", control.RoleViewer)
	}
	if _, _, err := a.Exchange(request(here, ""), codes[0]); err == nil {
		t.Fatal("the oldest code should have made room")
	}
	for _, code := range codes[1:] {
		if _, _, err := a.Exchange(request(here, ""), code); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, test := range []struct {
		name  string
		sleep time.Duration
		often int
		valid bool
	}{
		{"in use", sessionIdle, 5, true},
		{"idle", sessionIdle + 1, 1, false},
		{"old", 8 * time.Hour, 22, false},
		{"almost old", 8 * time.Hour, 21, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := New(book{}, false)
				secret, _, err := a.Exchange(request(here, ""), a.NewCode("x", control.RoleAdmin))
				if err != nil {
					t.Fatal(err)
				}
				r := request(here, "Bearer "+secret)
				for range test.often {
					time.Sleep(test.sleep)
					_, err = a.Authorize(r, AtLeast(control.RoleAdmin))
				}
				if (err == nil) != test.valid || a.Still(r) != test.valid {
					t.Fatalf("got %v, want valid %v", err, test.valid)
				}
			})
		})
	}
}

// A stream that asks all the time does not keep the session alive that opened it.
func TestAskingIsNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(book{}, false)
		secret, _, _ := a.Exchange(request(here, ""), a.NewCode("x", control.RoleAdmin))
		r := request(here, "Bearer "+secret)
		for range 13 {
			time.Sleep(time.Hour)
			a.Still(r)
		}
		if a.Still(r) {
			t.Fatal("the session should have idled out")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(book{}, false)
		var first string
		for i := range maxSessions + 1 {
			secret, _, err := a.Exchange(request(here, ""), a.NewCode("x", control.RoleViewer))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = secret
			}
			time.Sleep(time.Millisecond)
		}
		if len(a.memory.sessions) != maxSessions || a.Still(request(here, "Bearer "+first)) {
			t.Fatalf("%d sessions", len(a.memory.sessions))
		}
	})
}

func TestNothingButDigestsIsKept(t *testing.T) {
	a := New(book{}, false)
	code := a.NewCode("x", control.RoleAdmin)
	secret, _, _ := a.Exchange(request(here, ""), a.NewCode("y", control.RoleAdmin))
	a.End(request(here, "Bearer nothing"))
	kept := fmt.Sprintf("%+v %v", &a.memory, a.memory.codes)
	for d, s := range a.memory.sessions {
		kept += fmt.Sprintf("%s %+v", d[:], *s)
	}
	if strings.Contains(kept, code) || strings.Contains(kept, secret) {
		t.Fatal("a secret is kept in memory")
	}
	a.End(request(here, "Bearer "+secret))
	if a.Still(request(here, "Bearer "+secret)) {
		t.Fatal("an ended session goes on")
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(book{"right": {ID: "1", Role: control.RoleViewer}, "new": {ID: "2", Role: control.RoleViewer}}, false)
		try := func(address, secret string) error {
			_, err := a.Authorize(request(address, "Bearer "+secret), AtLeast(control.RoleViewer))
			return err
		}
		if err := try(here, "right"); err != nil {
			t.Fatal(err)
		}
		for range 100 { // an outdated key is offered again and again
			wantCode(t, try(here, "outdated"), control.CodeUnauthenticated)
		}
		for i := range failureBurst - 1 {
			wantCode(t, try(here, fmt.Sprint("guess", i)), control.CodeUnauthenticated)
		}
		var many *TooMany
		if err := try(here, "new"); !errors.As(err, &many) || many.RetryAfter <= 0 || many.RetryAfter > failureEvery {
			t.Fatalf("after many wrong guesses even a right one waits, got %v", err)
		}
		if err := try(here, "right"); err != nil {
			t.Fatalf("who was right before is locked out: %v", err)
		}
		if err := try("192.0.2.8:1", "new"); err != nil {
			t.Fatalf("another address is locked out: %v", err)
		}
		if _, _, err := a.Exchange(request(here, ""), "a guessed code"); !errors.As(err, &many) {
			t.Fatalf("codes are guessed without end: %v", err)
		}
		time.Sleep(failureEvery)
		wantCode(t, try(here, "another guess"), control.CodeUnauthenticated)
		if err := try(here, "yet another"); !errors.As(err, &many) {
			t.Fatalf("one guess in %s, got %v", failureEvery, err)
		}
		if a.Refused() != 3 {
			t.Fatalf("%d refused", a.Refused())
		}
		time.Sleep(failureBurst * failureEvery)
		for i := range failureBurst {
			wantCode(t, try(here, fmt.Sprint("later", i)), control.CodeUnauthenticated)
		}
	})
}

func TestAddressesAreBounded(t *testing.T) {
	a := New(book{}, false)
	for i := range maxAddresses + 100 {
		a.Authorize(request(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), "Bearer x"), AtLeast(control.RoleViewer))
	}
	if n := len(a.limiter.addresses); n > maxAddresses {
		t.Fatalf("%d addresses are remembered", n)
	}
}

func TestAddressOf(t *testing.T) {
	for _, test := range []struct{ remote, want string }{
		{"192.0.2.7:1000", "192.0.2.7"}, {"[::ffff:192.0.2.7]:1", "192.0.2.7"}, {"[2001:db8:1:2:3::4]:1", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1", "fe80::/64"}, {"pipe", "pipe"}, {"", ""},
	} {
		if got := addressOf(test.remote); got != test.want {
			t.Errorf("%s: got %s, want %s", test.remote, got, test.want)
		}
	}
}

func TestHeadersThatAreNotUnderstood(t *testing.T) {
	a := New(book{"right": {Role: control.RoleAdmin}}, false)
	for _, test := range []struct {
		header string
		valid  bool
	}{
		{"Bearer right", true}, {"bearer right", true}, {"Bearer  right ", true}, {"right", false}, {"Basic right", false},
		{"Bearer", false}, {"Bearer ", false}, {"Bearer right right", false}, {"Bearer " + strings.Repeat("x", 300), false},
	} {
		_, err := a.Authorize(request(here, test.header), AtLeast(control.RoleAdmin))
		if (err == nil) != test.valid {
			t.Errorf("%q: %v", test.header, err)
		}
		if err != nil && control.CodeOf(err) != control.CodeUnauthenticated {
			t.Errorf("%q: %v", test.header, err)
		}
	}
	// Tools that can only be given a URL send its password.
	r := request(here, "")
	r.SetBasicAuth("flagger", "right")
	if _, err := a.Authorize(r, AtLeast(control.RoleAdmin)); err != nil {
		t.Errorf("Basic: %v", err)
	}
	r.Method = http.MethodPost
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if _, err := a.Authorize(r, AtLeast(control.RoleAdmin)); err == nil {
		t.Error("another site made a browser repeat its password")
	}
	r.SetBasicAuth("right", "wrong")
	if _, err := a.Authorize(r, AtLeast(control.RoleAdmin)); err == nil {
		t.Error("the user's name was taken for the token")
	}
	// A token in a cookie is none: only sessions travel so.
	r = request(here, "")
	r.AddCookie(&http.Cookie{Name: cookieName(r), Value: "right"})
	if _, err := a.Authorize(r, AtLeast(control.RoleAdmin)); err == nil {
		t.Error("a cookie gave the rights of a token")
	}
}
