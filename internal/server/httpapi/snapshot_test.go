package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestTheSnapshotIsSentWhenItIsNew(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	plain := b.send("GET", v1+"/snapshot", "", "as: sdk").want(200)
	var set flag.Set
	plain.json(&set)
	head := b.service.Head()
	if set.Revision != head.Revision || set.History != head.History || len(set.Flags) != 1 {
		t.Fatalf("got %+v at %+v", set, head)
	}
	zipped := b.send("GET", v1+"/snapshot", "", "as: sdk", "Accept-Encoding: br, gzip;q=0.5").want(200)
	z, err := gzip.NewReader(bytes.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(unzipped, plain.body) || zipped.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("unzipped it is %q, %v", unzipped, err)
	}
	if zipped.etag() != "W/"+plain.etag() || zipped.header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("ETag %s and %s, Vary %q", plain.etag(), zipped.etag(), zipped.header.Get("Vary"))
	}
	for _, tag := range []string{plain.etag(), zipped.etag(), `"x:1", ` + plain.etag(), "*"} {
		if a := b.send("GET", v1+"/snapshot", "", "as: sdk", "If-None-Match: "+tag, "Accept-Encoding: gzip").want(304); len(a.body) > 0 || a.etag() != plain.etag() {
			t.Errorf("%s: ETag %s, body %q", tag, a.etag(), a.body)
		}
	}
	b.send("DELETE", v1+"/flags/search", "", "If-Match: *").want(200)
	again := b.send("GET", v1+"/snapshot", "", "as: sdk", "If-None-Match: "+plain.etag(), "Accept-Encoding: gzip").want(200)
	z, err = gzip.NewReader(bytes.NewReader(again.body))
	if err != nil {
		t.Fatal(err)
	}
	set = flag.Set{} // what is absent must not stay
	if err := json.NewDecoder(z).Decode(&set); err != nil || len(set.Flags) != 0 {
		t.Fatalf("got %+v, %v: an outdated snapshot was sent", set, err)
	}
}

func TestAcceptEncoding(t *testing.T) {
	for _, test := range []struct {
		header string
		gzip   bool
	}{{"", false}, {"gzip", true}, {"br, GZIP", true}, {"gzip;q=0", false}, {"gzip; q=0.000", false}, {"gzip;q=1", true}, {"x-gzip", false}, {"gzip;q=x", false}} {
		if got := acceptsGzip(test.header); got != test.gzip {
			t.Errorf("%q: %v", test.header, got)
		}
	}
}

func TestTheStreamNamesItsOwnerAndNoticesRevocation(t *testing.T) {
	b := newBench(t)
	var owner string
	var valid func() bool
	b.api.cfg.Stream = func(_ http.ResponseWriter, _ *http.Request, o string, v func() bool) error {
		owner, valid = o, v
		return nil
	}
	b.send("GET", v1+"/stream?after=x:1", "", "as: sdk").want(200)
	if owner == "" || !valid() {
		t.Fatalf("owner %q", owner)
	}
	if _, err := b.service.RevokeToken(t.Context(), owner, control.WriteOptions{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	if valid() {
		t.Fatal("a revoked key keeps its stream")
	}
	b.api.cfg.Stream = nil
	b.send("GET", v1+"/stream", "").wantProblem(control.CodeUnavailable)
	b.send("GET", v1+"/stream?since=1", "").wantProblem(control.CodeInvalid)
	if strings.Contains(b.log.String(), "panic") {
		t.Fatal(b.log.String())
	}
}

func TestSecretsOfExperimentsAreForServicesOnly(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", stormFlag).want(201)
	b.send("POST", v1+"/trials", stormRun).want(201)
	secret := b.service.Snapshot().Set.Allocations[0].Secret
	if body := string(b.send("GET", v1+"/snapshot", "", "as: sdk").want(200).body); len(secret) != 32 || !strings.Contains(body, secret) {
		t.Fatalf("an SDK does not see the secret %q in %s", secret, body)
	}
	b.send("GET", v1+"/stream", "", "as: viewer").wantProblem(control.CodePermission)
	shown := b.send("GET", v1+"/snapshot", "", "as: viewer", "Accept-Encoding: gzip").want(200)
	var set flag.Set
	if shown.json(&set); len(set.Allocations) != 1 || set.Allocations[0].Trial != "storm" {
		t.Errorf("a viewer sees %+v", set.Allocations)
	}
	for _, path := range []string{"/snapshot", "/trials", "/trials/storm", "/trials/storm/history", "/trials/storm/intervals", "/changes"} {
		if body := string(b.send("GET", v1+path, "", "as: viewer").want(200).body); strings.Contains(body, secret) || strings.Contains(body, `"secret"`) {
			t.Errorf("%s shows the secret: %s", path, body)
		}
	}
}
