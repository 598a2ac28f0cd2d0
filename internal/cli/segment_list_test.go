package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowFile gives its bytes, n at a time, each time after a while.
type slowFile struct {
	in    io.Reader
	n     int
	after time.Duration
}

func (s slowFile) Read(b []byte) (int, error) {
	time.Sleep(s.after)
	return s.in.Read(b[:min(s.n, len(b))])
}

func TestProgress(t *testing.T) {
	for _, test := range []struct {
		name            string
		total           int64
		every           time.Duration
		terminal, quiet bool
		want            string
	}{
		{name: "a short upload says nothing", total: 5_000_000, every: time.Millisecond, want: ""},
		{name: "lines", total: 5_000_000, every: 6 * time.Second,
			want: "2.0 of 5.0 MB sent (40 %)\n4.0 of 5.0 MB sent (80 %)\n5.0 of 5.0 MB sent (100 %)\n"},
		{name: "of unknown length", every: 11 * time.Second, want: "1.0 MB sent\n2.0 MB sent\n3.0 MB sent\n4.0 MB sent\n5.0 MB sent\n"},
		{name: "on a terminal one line", total: 5_000_000, every: 2 * time.Second, terminal: true,
			want: "\r\x1b[K1.0 of 5.0 MB sent (20 %)\r\x1b[K2.0 of 5.0 MB sent (40 %)\r\x1b[K3.0 of 5.0 MB sent (60 %)\r\x1b[K4.0 of 5.0 MB sent (80 %)\r\x1b[K5.0 of 5.0 MB sent (100 %)\n"},
		{name: "quiet", total: 5_000_000, every: time.Minute, quiet: true, want: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs bytes.Buffer
				a := &app{err: &errs, quiet: test.quiet, narration: style{terminal: test.terminal}}
				p := &progress{in: slowFile{strings.NewReader(strings.Repeat("x", 5_000_000)), 1_000_000, test.every}, total: test.total, app: a, started: time.Now()}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, p, make([]byte, 1_000_000)); n != 5_000_000 || err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				p.done()
				if errs.String() != test.want {
					t.Errorf("got  %q\nwant %q", errs.String(), test.want)
				}
			})
		})
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 10_000_000: "10,000,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
