package otlp

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// encoding is how a request is encoded and will be answered. The zero value is JSON, which
// people can read: it answers requests whose encoding is not known.
type encoding bool

const (
	encodingJSON     encoding = false
	encodingProtobuf encoding = true

	typeJSON     = "application/json"
	typeProtobuf = "application/x-protobuf"
)

func (e encoding) mediaType() string {
	if e == encodingProtobuf {
		return typeProtobuf
	}
	return typeJSON
}

var errProtobuf = errors.New("the body is not an OTLP export request in protobuf: it may be cut off, or be of another signal")

// decode runs the decoder of the encoding.
func (e encoding) decode(body []byte, protobuf func([]byte) bool, json func([]byte) error) error {
	if e == encodingJSON {
		return json(body)
	}
	if !protobuf(body) {
		return errProtobuf
	}
	return nil
}

// negotiate checks everything but the body.
func negotiate(req *http.Request) (encoding, *failure) {
	enc := encodingJSON
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case err == nil && media == typeProtobuf:
		enc = encodingProtobuf
	case err != nil || media != typeJSON:
		return enc, &failure{http.StatusUnsupportedMediaType, codeInvalid,
			"Content-Type must be " + typeProtobuf + " or " + typeJSON}
	}
	if req.Method != http.MethodPost {
		return enc, &failure{http.StatusMethodNotAllowed, codeUnimplemented, "OTLP requests are POST requests"}
	}
	switch coding(req) {
	case "", "identity", "gzip":
		return enc, nil
	}
	return enc, &failure{http.StatusUnsupportedMediaType, codeInvalid, "Content-Encoding must be gzip or absent"}
}

func coding(req *http.Request) string {
	return strings.ToLower(strings.TrimSpace(strings.Join(req.Header.Values("Content-Encoding"), ",")))
}

// budget bounds the bytes of bodies over all requests.
type budget struct {
	limit int64
	held  atomic.Int64
}

// lease is what one request holds of the budget.
type lease struct {
	*budget
	bytes int64
}

func (l *lease) take(n int64) bool {
	if l.held.Add(n) > l.limit {
		l.held.Add(-n)
		return false
	}
	l.bytes += n
	return true
}

func (l *lease) release() { l.held.Add(-l.bytes) }

var unzippers sync.Pool // of *gzip.Reader

// read reads and decompresses a body. Memory is taken from the budget before it is allocated,
// and grows with what has really come, not with what the headers promise.
func (r *Receiver) read(w http.ResponseWriter, req *http.Request, l *lease) ([]byte, *failure) {
	if req.ContentLength > r.cfg.MaxBody {
		return nil, r.tooLarge()
	}
	var from io.Reader = http.MaxBytesReader(w, req.Body, r.cfg.MaxBody)
	size := req.ContentLength
	if coding(req) == "gzip" {
		unzip, err := newUnzipper(from)
		if err != nil {
			return nil, r.unreadable(err)
		}
		defer unzippers.Put(unzip)
		from, size = unzip, 4*size
	}
	return r.readAll(from, size, l)
}

func newUnzipper(from io.Reader) (*gzip.Reader, error) {
	if pooled, ok := unzippers.Get().(*gzip.Reader); ok {
		return pooled, pooled.Reset(from)
	}
	return gzip.NewReader(from)
}

// First buffers are of the expected size, with a byte to spare for seeing the end, within these
// bounds.
const (
	smallestBuffer = 4 << 10
	largestBuffer  = 1 << 20
)

func (r *Receiver) readAll(from io.Reader, expected int64, l *lease) ([]byte, *failure) {
	var body []byte
	size := min(max(expected+1, smallestBuffer), largestBuffer, r.cfg.MaxBody+1)
	for {
		if len(body) == cap(body) {
			if !l.take(size) {
				return nil, r.overloaded()
			}
			grown := make([]byte, len(body), int64(cap(body))+size)
			copy(grown, body)
			body, size = grown, min(int64(cap(grown)), r.cfg.MaxBody+1-int64(cap(grown)))
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > r.cfg.MaxBody {
			return nil, r.tooLarge()
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, r.unreadable(err)
		}
	}
}

func (r *Receiver) tooLarge() *failure {
	return &failure{http.StatusRequestEntityTooLarge, codeExhausted,
		fmt.Sprintf("the body is larger than %d bytes, as sent or decompressed: send smaller batches", r.cfg.MaxBody)}
}

func (r *Receiver) overloaded() *failure {
	return &failure{http.StatusTooManyRequests, codeUnavailable,
		"too many requests are being received at once: try again later"}
}

func (r *Receiver) unreadable(err error) *failure {
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return r.tooLarge()
	}
	return &failure{http.StatusBadRequest, codeInvalid, "the body cannot be read: " + err.Error()}
}
