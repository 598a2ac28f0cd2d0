package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

const plainText = "Content-Type: text/plain; charset=utf-8"

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // memory does not fail
	_ = z.Close()
	return b.String()
}

func TestAListIsUploadedAndAsked(t *testing.T) {
	b := newBench(t)
	path := v1 + "/segments/staff/list"
	b.send("PUT", path, "u-1\n", plainText).wantProblem(control.CodeNotFound)
	created := b.send("POST", v1+"/segments", staff).want(201)
	for _, step := range []struct {
		method, path, body             string
		header                         string
		members, added, removed, parts int
	}{
		{"PUT", "", "u-1\nu-2\r\n\nu-3", plainText, 3, 3, 0, 1},
		{"POST", "/add", packed("u-3\nu-4\n"), "Content-Type: application/gzip", 4, 1, 0, 2},
		{"POST", "/remove", packed("u-1\nu-9\n"), plainText, 3, 0, 1, 1},
		{"PUT", "", "u-2\nu-3\nu-4\n", "Content-Type: application/octet-stream", 3, 0, 0, 1},
	} {
		var c lists.Change
		a := b.send(step.method, path+step.path, step.body, step.header).want(200)
		a.json(&c)
		if c.Members != step.members || c.Added != step.added || c.Removed != step.removed || c.Parts != step.parts || c.Segment != "staff" {
			t.Errorf("%s %s: %+v, want %+v", step.method, step.path, c, step)
		}
		if tag := b.send("GET", v1+"/segments/staff", "").etag(); tag != a.etag() || tag == created.etag() {
			t.Errorf("ETag %s, the segment has %s", a.etag(), tag)
		}
	}
	for unit, want := range map[string]bool{"u-1": false, "u-2": true, "u-4": true} {
		var m membership
		if b.send("GET", path+"/contains?unit="+unit, "", "as: viewer").want(200).json(&m); m.Member != want || m.Unit != unit {
			t.Errorf("%+v, want %v", m, want)
		}
	}
	b.send("GET", path+"/contains", "").wantProblem(control.CodeInvalid)
	b.send("DELETE", path, "").want(200)
	var s lists.Stat
	if b.send("GET", path, "").want(200).json(&s); s.Members != 0 || s.Parts != 0 {
		t.Errorf("%+v after it was cleared", s)
	}
}

func TestAnUploadThatIsRefused(t *testing.T) {
	b := newBench(t)
	path := v1 + "/segments/staff/list"
	b.send("POST", v1+"/segments", staff).want(201)
	p := b.send("PUT", path, "u-1\n\xff\n", plainText).wantProblem(control.CodeInvalid)
	if !strings.Contains(p.Detail, "line 2") {
		t.Errorf("%q does not name the line", p.Detail)
	}
	b.send("PUT", path, `["u-1"]`).wantProblem(codeMediaType)
	b.send("PUT", path, "u-1", plainText, "Content-Encoding: br").wantProblem(codeMediaType)
	b.send("PUT", path+"?dryrun=true", "u-1", plainText).wantProblem(control.CodeInvalid)
	b.send("PUT", path, "u-1", plainText, "as: viewer").wantProblem(control.CodePermission)
	head := b.service.Head()
	var c lists.Change
	if b.send("PUT", path+"?dryRun=true", "u-1", plainText).want(200).json(&c); c.Members != 1 || b.service.Head() != head {
		t.Errorf("%+v of a dry run", c)
	}
}

func TestAPartIsForEver(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/segments", staff).want(201)
	b.send("PUT", v1+"/segments/staff/list", "u-1\nu-2\n", plainText).want(200)
	part := b.service.Snapshot().Set.Segments[0].List.Parts[0]
	a := b.send("GET", v1+"/parts/"+part.Digest, "", "as: sdk").want(200)
	if sum := sha256.Sum256(a.body); hex.EncodeToString(sum[:]) != part.Digest || int64(len(a.body)) != part.Bytes {
		t.Errorf("%d bytes that are not the part", len(a.body))
	}
	if got := a.header.Get("Cache-Control"); got != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control %q", got)
	}
	b.send("GET", v1+"/parts/"+strings.Repeat("0", 64), "", "as: sdk").wantProblem(control.CodeNotFound)
	b.send("GET", v1+"/parts/"+part.Digest, "", "as: nobody").wantProblem(control.CodeUnauthenticated)
}

func TestUploadsAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxUploads = 1 })
	b.send("POST", v1+"/segments", staff).want(201)
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		request := httptest.NewRequest("PUT", v1+"/segments/staff/list", r)
		request.Header.Set("Content-Type", "text/plain")
		request.Header.Set("Authorization", "Bearer "+b.tokens[control.RoleEditor])
		answer := httptest.NewRecorder()
		b.handler.ServeHTTP(answer, request)
		done <- answer.Code
	}()
	fmt.Fprintln(w, "u-1") // returns when it is being read
	b.send("PUT", v1+"/segments/staff/list", "u-2", plainText).wantProblem(control.CodeUnavailable)
	b.send("GET", v1+"/segments/staff/list", "").want(200)
	_ = w.Close()
	if status := <-done; status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestAServerWithoutLists(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Lists = nil })
	for _, path := range []string{"/segments/staff/list", "/segments/staff/list/contains?unit=u-1", "/parts/0"} {
		b.send("GET", v1+path, "").wantProblem(control.CodeUnavailable)
	}
	b.send("PUT", v1+"/segments/staff/list", "u-1", plainText).wantProblem(control.CodeUnavailable)
	b.send("DELETE", v1+"/segments/staff/list", "").wantProblem(control.CodeUnavailable)
}
