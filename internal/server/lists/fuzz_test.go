package lists_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// What is uploaded is what splitting the text at its line ends gives, or refused.
func FuzzUpload(f *testing.F) {
	for _, seed := range []string{"", "ana\r\nbo\n\nana", "\ufeffana\n", "a\rb\n", "\xff\n", strings.Repeat("x", 300), "\n\r\n"} {
		f.Add([]byte(seed))
		f.Add(zipped(seed).Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRig(t)
		change, err := r.lists.Replace(t.Context(), "beta", bytes.NewReader(data), by)
		if err != nil {
			if code := control.CodeOf(err); code != control.CodeInvalid {
				t.Fatalf("error %v of code %s", err, code)
			}
			return
		}
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			return // compress/gzip has its own tests
		}
		want := map[string]bool{}
		for line := range strings.SplitSeq(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
			if line = strings.TrimSuffix(line, "\r"); line == "" {
				continue
			}
			if len(line) > flag.MaxMember || !utf8.ValidString(line) {
				t.Fatalf("%q was accepted", line)
			}
			want[line] = true
		}
		if change.Members != len(want) {
			t.Fatalf("%d members, want %d", change.Members, len(want))
		}
		for line := range want {
			if !r.has(t, line) {
				t.Fatalf("%q is no member", line)
			}
		}
	})
}
