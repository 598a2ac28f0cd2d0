package control_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

func TestTokenLife(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	sdk, sdkSecret, err := r.CreateToken(ctx, control.NewToken{Name: "shop", Kind: control.TokenSDK}, ana)
	if err != nil {
		t.Fatal(err)
	}
	api, apiSecret, err := r.CreateToken(ctx, control.NewToken{Name: "ci", Kind: control.TokenAPI, Role: control.RoleEditor, ExpiresIn: time.Hour}, ana)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(sdkSecret, "st_sdk_") || !strings.HasPrefix(apiSecret, "st_api_") || len(apiSecret) != 66 {
		t.Errorf("secrets %q and %q", sdkSecret, apiSecret)
	}
	if list := r.ListTokens(); len(list) != 2 || list[0] != api || list[1] != sdk {
		t.Errorf("listed as %s", asJSON(list))
	}
	check := func(when, secret string, want control.Principal) {
		t.Helper()
		for _, s := range []*rig{r, r.restart()} {
			got, err := s.Authenticate(secret)
			if want == (control.Principal{}) {
				wantCode(t, err, control.CodeUnauthenticated, "unknown, revoked or expired")
			} else if err != nil || got != want {
				t.Errorf("%s: %+v, error %v", when, got, err)
			}
		}
	}
	shop := control.Principal{ID: sdk.ID, Name: "shop", Kind: control.TokenSDK, Role: control.RoleSDK}
	ci := control.Principal{ID: api.ID, Name: "ci", Kind: control.TokenAPI, Role: control.RoleEditor, ExpiresAt: day0.Add(time.Hour)}
	check("sdk", sdkSecret, shop)
	check("api", apiSecret, ci)
	r.now = day0.Add(time.Hour - time.Second)
	check("just before its end", apiSecret, ci)
	r.now = day0.Add(time.Hour)
	check("expired", apiSecret, control.Principal{})
	check("the other lives", sdkSecret, shop)
	must[control.Change](t)(r.RevokeToken(ctx, sdk.ID, ana))
	check("revoked", sdkSecret, control.Principal{})
	_, err = r.RevokeToken(ctx, sdk.ID, ana)
	wantCode(t, err, control.CodeNotFound, sdk.ID)
}

func TestAuthenticateRefuses(t *testing.T) {
	r := newRig(t)
	_, secret, err := r.CreateToken(t.Context(), control.NewToken{Name: "ci", Kind: control.TokenAPI}, ana)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(secret))
	for name, wrong := range map[string]string{
		"nothing":              "",
		"another prefix":       "st_sdk_" + strings.TrimPrefix(secret, "st_api_"),
		"cut":                  secret[:len(secret)-1],
		"continued":            secret + "a",
		"upper case":           strings.ToUpper(secret),
		"one letter":           flip(secret),
		"the hash itself":      hex.EncodeToString(sum[:]),
		"without its prefix":   strings.TrimPrefix(secret, "st_api_"),
		"very long":            secret + strings.Repeat("x", 1<<20),
		"the id of the token":  r.ListTokens()[0].ID,
		"space at the end":     secret + " ",
		"thirty-two null byte": string(make([]byte, 32)),
	} {
		if p, err := r.Authenticate(wrong); err == nil || p != (control.Principal{}) || control.CodeOf(err) != control.CodeUnauthenticated {
			t.Errorf("%s: %+v, error %v", name, p, err)
		}
	}
	empty := newRig(t)
	_, err = empty.Authenticate(secret)
	wantCode(t, err, control.CodeUnauthenticated, "")
}

func flip(secret string) string {
	b := []byte(secret)
	if b[20]++; b[20] > 'z' || b[20] > '7' && b[20] < 'a' {
		b[20] = 'a'
	}
	return string(b)
}

// A client key is the weakest of all, and a token may be for one environment only.
func TestClientKeysAndScopes(t *testing.T) {
	r := newRig(t)
	token, secret, err := r.CreateToken(t.Context(), control.NewToken{Name: "web", Kind: control.TokenClient, Environment: "staging"}, ana)
	if err != nil || token.Role != control.RoleClient || token.Environment != "staging" || !strings.HasPrefix(secret, "st_client_") {
		t.Fatalf("%+v, %q, %v", token, secret, err)
	}
	p, err := r.Authenticate(secret)
	if err != nil || p.Role.Includes(control.RoleSDK) || !p.Role.Includes(control.RoleClient) {
		t.Errorf("%+v, %v", p, err)
	}
	if !p.May("staging") || p.May("default") {
		t.Errorf("%+v may use the wrong environments", p)
	}
	for _, wrong := range []control.NewToken{
		{Name: "n", Kind: control.TokenClient, Role: control.RoleViewer},
		{Name: "n", Kind: control.TokenAPI, Role: control.RoleClient},
		{Name: "n", Kind: control.TokenAPI, Environment: "no spaces"},
	} {
		if _, _, err := r.CreateToken(t.Context(), wrong, ana); control.CodeOf(err) != control.CodeInvalid {
			t.Errorf("%+v: %v, want invalid", wrong, err)
		}
	}
}

// The log keeps the hash, never the secret, and shows neither.
func TestSecretsStaySecret(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	token, secret, err := r.CreateToken(ctx, control.NewToken{Name: "ci", Kind: control.TokenAPI}, ana)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.log.Read(ctx, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(secret))
	hash := hex.EncodeToString(sum[:])
	if stored := asJSON(raw); strings.Contains(stored, secret) || !strings.Contains(stored, hash) {
		t.Errorf("the log holds %s", stored)
	}
	revoked := must[control.Change](t)(r.RevokeToken(ctx, token.ID, ana))
	list := must[[]control.Change](t)(r.ListChanges(ctx, 0, 10))
	one := must[control.Change](t)(r.GetChange(ctx, 1))
	history := must[[]control.Change](t)(r.History(ctx, control.KindToken, token.ID, 0, 0))
	if len(list) != 2 || len(history) != 2 {
		t.Fatalf("%d changes, %d of the token", len(list), len(history))
	}
	shown := asJSON([]any{token, r.ListTokens(), list, one, history, revoked, r.Snapshot().Set})
	if strings.Contains(shown, hash) || strings.Contains(shown, secret) || !strings.Contains(shown, token.ID) {
		t.Errorf("shown is %s", shown)
	}
}

func TestNewTokenRefusals(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name string
		new  control.NewToken
		at   string // empty: accepted
		role control.Role
	}{
		{"sdk", control.NewToken{Name: "n", Kind: control.TokenSDK}, "", control.RoleSDK},
		{"sdk with its role", control.NewToken{Name: "n", Kind: control.TokenSDK, Role: control.RoleSDK}, "", control.RoleSDK},
		{"sdk as admin", control.NewToken{Name: "n", Kind: control.TokenSDK, Role: control.RoleAdmin}, "/role", ""},
		{"api", control.NewToken{Name: "n", Kind: control.TokenAPI}, "", control.RoleViewer},
		{"api as admin", control.NewToken{Name: "n", Kind: control.TokenAPI, Role: control.RoleAdmin}, "", control.RoleAdmin},
		{"api as sdk", control.NewToken{Name: "n", Kind: control.TokenAPI, Role: control.RoleSDK}, "/role", ""},
		{"api as nobody", control.NewToken{Name: "n", Kind: control.TokenAPI, Role: "root"}, "/role", ""},
		{"a session", control.NewToken{Name: "n", Kind: control.TokenSession}, "/kind", ""},
		{"no kind", control.NewToken{Name: "n"}, "/kind", ""},
		{"no name", control.NewToken{Kind: control.TokenAPI}, "/name", ""},
		{"long name", control.NewToken{Name: strings.Repeat("n", 101), Kind: control.TokenAPI}, "/name", ""},
		{"two lines", control.NewToken{Name: "a\nb", Kind: control.TokenAPI}, "/name", ""},
		{"too short", control.NewToken{Name: "n", Kind: control.TokenAPI, ExpiresIn: time.Second}, "/expiresIn", ""},
		{"negative", control.NewToken{Name: "n", Kind: control.TokenAPI, ExpiresIn: -time.Hour}, "/expiresIn", ""},
		{"too long", control.NewToken{Name: "n", Kind: control.TokenAPI, ExpiresIn: 11 * 365 * 24 * time.Hour}, "/expiresIn", ""},
	} {
		token, secret, err := r.CreateToken(t.Context(), c.new, ana)
		if c.at == "" {
			if err != nil || token.Role != c.role || secret == "" {
				t.Errorf("%s: %+v, error %v", c.name, token, err)
			}
		} else if got := pointers(err); control.CodeOf(err) != control.CodeInvalid || len(got) != 1 || got[0] != c.at {
			t.Errorf("%s: %v at %v, want %s", c.name, err, got, c.at)
		}
	}
}

func TestTokenIsNotMadeTwice(t *testing.T) {
	r := newRig(t)
	keyed := control.WriteOptions{Actor: "ana", IdempotencyKey: "k"}
	n := control.NewToken{Name: "ci", Kind: control.TokenAPI}
	if _, _, err := r.CreateToken(t.Context(), n, keyed); err != nil {
		t.Fatal(err)
	}
	_, secret, err := r.CreateToken(t.Context(), n, keyed)
	wantCode(t, err, control.CodeConflict, "cannot be shown again")
	if secret != "" || len(r.ListTokens()) != 1 {
		t.Errorf("secret %q, %d tokens", secret, len(r.ListTokens()))
	}
}

func TestRoles(t *testing.T) {
	order := []control.Role{control.RoleSDK, control.RoleViewer, control.RoleEditor, control.RoleAdmin}
	for i, r := range order {
		for j, need := range order {
			if got := r.Includes(need); got != (i >= j) {
				t.Errorf("%s includes %s: %v", r, need, got)
			}
		}
		for _, other := range []control.Role{"", "root"} {
			if r.Includes(other) || other.Includes(r) || other.Includes(other) {
				t.Errorf("role %q counts for something", other)
			}
		}
	}
}
