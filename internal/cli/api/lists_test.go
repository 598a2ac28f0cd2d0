package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestUploadsTakeTheirTime(t *testing.T) {
	var got *http.Request
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, body = r, string(data)
		fmt.Fprint(w, `{"segment":"a/b","members":7,"added":3,"removed":1,"revision":9}`)
	})
	c.http.Timeout = 1 // ns: nothing but an upload can be done by then
	for _, test := range []struct {
		how          ListEdit
		method, path string
	}{
		{ReplaceList, "PUT", "/api/v1/segments/a%2Fb/list"},
		{AddToList, "POST", "/api/v1/segments/a%2Fb/list/add"},
		{TakeOffList, "POST", "/api/v1/segments/a%2Fb/list/remove"},
	} {
		change, err := c.UploadList(t.Context(), "a/b", test.how, strings.NewReader("u1\nu2\n"), TypeGzip, Write{Reason: "why not"})
		if err != nil || change.Added != 3 || change.Members != 7 {
			t.Fatalf("%+v: %v", change, err)
		}
		if got.Method != test.method || got.URL.EscapedPath() != test.path || body != "u1\nu2\n" || got.URL.Query().Get("reason") != "why not" {
			t.Errorf("%s %s %q", got.Method, got.URL, body)
		}
		if got.Header.Get("Content-Type") != TypeGzip || got.Header.Get("Expect") != "100-continue" {
			t.Errorf("header %v", got.Header)
		}
	}
	if _, err := c.ListHas(t.Context(), "a", "u"); err == nil {
		t.Error("another request has no time limit")
	}
}

// TestRefusedUploadIsNotSent: who may not upload learns it before the file is read.
func TestRefusedUploadIsNotSent(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"title":"Forbidden","detail":"not you"}`)
	})
	sent := &countingReader{in: io.LimitReader(zeros{}, 64<<20)}
	_, err := c.UploadList(t.Context(), "vips", ReplaceList, sent, TypeText, Write{})
	if err == nil || err.Error() != "not you" {
		t.Errorf("%v", err)
	}
	if sent.n > 0 {
		t.Errorf("%d bytes were read", sent.n)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

type countingReader struct {
	in io.Reader
	n  int
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.n += n
	return n, err
}
