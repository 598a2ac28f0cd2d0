package seatrial

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent bounds one event of the change stream, in bytes.
const maxEvent = 16 << 20

var errEventTooLarge = errors.New("an event is larger than 16 MiB")

// event is one server-sent event.
type event struct {
	name string // "message" if the server gave none
	id   string
	data []byte // valid until the next event is read
}

// eventReader reads the event-stream format (HTML Standard, section 9.2.6 "Interpreting an event
// stream"): lines end in LF, CR or CRLF, a blank line ends an event, a line that starts with a
// colon is a comment. It keeps no more than one event in memory.
type eventReader struct {
	in      *bufio.Reader
	limit   int
	line    []byte
	data    []byte
	started bool // the byte order mark has been dealt with
	afterCR bool // an LF that follows belongs to the line end before
}

func newEventReader(r io.Reader, limit int) *eventReader {
	return &eventReader{in: bufio.NewReaderSize(r, 16<<10), limit: limit}
}

// next gives the next event that has data. An event cut off by the end of the stream is not
// given: error io.EOF. After errEventTooLarge the reader must not be used any more.
func (r *eventReader) next() (event, error) {
	e := event{name: "message"}
	r.data = r.data[:0]
	hasData := false
	for {
		if err := r.readLine(len(r.data)); err != nil {
			return event{}, err
		}
		if len(r.line) == 0 {
			if hasData {
				e.data = r.data[:len(r.data)-1] // without the last line's end
				return e, nil
			}
			e = event{name: "message"}
			continue
		}
		field, value, _ := bytes.Cut(r.line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "id":
			e.id = string(value)
		case "data":
			hasData = true
			r.data = append(append(r.data, value...), '\n')
		}
	}
}

// readLine reads one line, without its end, into r.line. used is what the event holds already.
func (r *eventReader) readLine(used int) error {
	r.line = r.line[:0]
	for {
		b, err := r.in.ReadByte()
		if err != nil {
			return err
		}
		afterCR := r.afterCR
		r.afterCR = b == '\r'
		switch {
		case b == '\n' && afterCR:
			continue
		case b == '\n', b == '\r':
			if !r.started {
				r.started = true
				r.line = bytes.TrimPrefix(r.line, []byte("\ufeff"))
			}
			return nil
		case used+len(r.line) >= r.limit:
			return errEventTooLarge
		}
		r.line = append(r.line, b)
	}
}
