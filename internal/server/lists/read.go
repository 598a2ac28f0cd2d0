package lists

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"github.com/seatrial/seatrial/internal/server/control"
)

// uploaded are targeting keys that were read, as hashes with a key.
type uploaded struct {
	hashKey string
	parts   []members.Part // without overlap
}

// maxLines bounds the lines of an upload, empty ones included.
const maxLines = flag.MaxListMembers

// byteOrderMark is what some editors begin a file with.
var byteOrderMark = []byte("\ufeff")

// read takes targeting keys in, one a line, in any order and as often as they like: UTF-8, 1 to
// flag.MaxMember bytes; the line ends with LF or CR LF, empty lines are passed over. At most
// maxLines lines. Input that begins as gzip does is unpacked (no targeting key begins so: it is
// not UTF-8).
func read(ctx context.Context, r io.Reader, hashKey string) (uploaded, error) {
	key, err := members.ParseKey(hashKey)
	if err != nil {
		return uploaded{}, &control.Error{Code: control.CodeInternal, Message: err.Error(), Err: err}
	}
	plain, err := unpacked(r)
	if err != nil {
		return uploaded{}, err
	}
	c := members.NewCollector(key)
	if err := eachLine(ctx, plain, func(line []byte) { c.Add(string(line)) }); err != nil {
		return uploaded{}, err
	}
	return uploaded{hashKey: hashKey, parts: merge(c.Edits())}, nil
}

// unpacked gives the text, whether it is packed or not.
func unpacked(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, readError(0, err)
	}
	return z, nil
}

// eachLine gives the lines that are not empty, without their end.
func eachLine(ctx context.Context, r io.Reader, take func([]byte)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 64<<10)
	n := 0
	for lines.Scan() {
		line := lines.Bytes()
		if n++; n == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if n > maxLines {
			return &control.Error{Code: control.CodeTooLarge, Message: fmt.Sprintf("it has more than %d lines: a list has at most as many members", maxLines)}
		}
		if n%10_000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(line) == 0 {
			continue
		}
		if err := checkLine(n, line); err != nil {
			return err
		}
		take(line)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return lineError(n+1, "has more than %d bytes: write one targeting key a line", flag.MaxMember)
	}
	return readError(n, lines.Err())
}

func checkLine(n int, line []byte) error {
	switch {
	case len(line) > flag.MaxMember:
		return lineError(n, "has %d bytes, at most %d are allowed: write one targeting key a line", len(line), flag.MaxMember)
	case !utf8.Valid(line):
		return lineError(n, "is not valid UTF-8: send text, or gzip of it")
	}
	return nil
}

func lineError(n int, format string, args ...any) error {
	return &control.Error{Code: control.CodeInvalid, Message: fmt.Sprintf("line %d "+format, append([]any{n}, args...)...)}
}

// readError says that the input ended early.
func readError(lines int, err error) error {
	if err == nil {
		return nil
	}
	return &control.Error{Code: control.CodeInvalid, Err: err, Message: fmt.Sprintf("it could not be read beyond line %d: %v: send it again", lines, err)}
}
