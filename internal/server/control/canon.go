package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Limits of the log. Every store refuses drafts beyond them with CodeTooLarge or CodeInvalid.
const (
	MaxActor          = 200      // bytes
	MaxReason         = 2_000    // bytes
	MaxIdempotencyKey = 500      // bytes
	MaxEntityKey      = 256      // bytes
	MaxOps            = 1_000    // in one change
	MaxValue          = 4 << 20  // bytes of one entity
	MaxChange         = 16 << 20 // bytes of one change in canonical form
	MaxIntervalRow    = 1 << 20  // bytes of a journalled interval with its state
)

// canonMagic starts the canonical form; its number changes whenever the form does.
const canonMagic = "seatrial change 1\n"

// Genesis gives the hash that the first change of a log has as its parent.
func Genesis(history string) string {
	sum := sha256.Sum256([]byte("seatrial genesis 1\n" + history))
	return hex.EncodeToString(sum[:])
}

// Normalize checks d against the limits and gives it in the one form that is stored: JSON
// values compact, time in UTC.
func (d Draft) Normalize() (Draft, error) {
	if err := d.check(); err != nil {
		return Draft{}, err
	}
	ops := make([]Op, len(d.Ops))
	for i, op := range d.Ops {
		ops[i] = Op{Kind: op.Kind, Key: op.Key}
		if len(op.Value) == 0 {
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, op.Value); err != nil {
			return Draft{}, &Error{Code: CodeInvalid, Err: err,
				Message: fmt.Sprintf("change: op %d on %s %q: the value is not JSON: %v", i, op.Kind, op.Key, err)}
		}
		if b.String() != "null" {
			ops[i].Value = b.Bytes()
		}
	}
	d.Ops = ops
	d.Time = d.Time.UTC()
	return d, nil
}

func (d Draft) check() error {
	bad := func(code Code, format string, args ...any) error {
		return &Error{Code: code, Message: "change: " + fmt.Sprintf(format, args...)}
	}
	switch {
	case d.Actor == "":
		return bad(CodeInvalid, "no actor: say who changes something")
	case len(d.Actor) > MaxActor:
		return bad(CodeTooLarge, "actor has %d bytes, at most %d are allowed", len(d.Actor), MaxActor)
	case len(d.Reason) > MaxReason:
		return bad(CodeTooLarge, "reason has %d bytes, at most %d are allowed: shorten it", len(d.Reason), MaxReason)
	case len(d.IdempotencyKey) > MaxIdempotencyKey:
		return bad(CodeTooLarge, "idempotency key has %d bytes, at most %d are allowed", len(d.IdempotencyKey), MaxIdempotencyKey)
	case len(d.Ops) == 0:
		return bad(CodeInvalid, "no ops: there is nothing to change")
	case len(d.Ops) > MaxOps:
		return bad(CodeTooLarge, "%d ops, at most %d are allowed: split it", len(d.Ops), MaxOps)
	case d.Time.Year() < 1970 || d.Time.Year() > 2261:
		return bad(CodeInvalid, "time %s is outside 1970 to 2261", d.Time.Format(time.RFC3339))
	}
	size := 0
	for i, op := range d.Ops {
		if op.Kind == "" || op.Key == "" || len(op.Kind) > MaxEntityKey || len(op.Key) > MaxEntityKey {
			return bad(CodeInvalid, "op %d: kind and key have 1 to %d bytes", i, MaxEntityKey)
		}
		if len(op.Value) > MaxValue {
			return bad(CodeTooLarge, "op %d on %s %q: %d bytes, at most %d are allowed", i, op.Kind, op.Key, len(op.Value), MaxValue)
		}
		if size += len(op.Value) + len(op.Key); size > MaxChange/2 {
			return bad(CodeTooLarge, "more than %d bytes: split it", MaxChange/2)
		}
	}
	return nil
}

// Next gives the change that a normalised draft becomes on top of h.
func (h Head) Next(d Draft) Change {
	c := Change{
		Revision: h.Revision + 1, Epoch: h.Epoch, Parent: h.Hash,
		Time: d.Time, Actor: d.Actor, Reason: d.Reason,
		IdempotencyKey: d.IdempotencyKey, Ops: d.Ops,
	}
	c.Hash = HashOf(EncodeChange(h.History, c))
	return c
}

// HashOf gives the hash of a change in canonical form.
func HashOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// EncodeChange gives the canonical form of a change: what its hash covers and what stores keep.
// Every field is preceded by its length, so that different changes have different bytes. The
// hash itself is not part of it, the parent's is: that makes the chain.
func EncodeChange(history string, c Change) []byte {
	b := []byte(canonMagic)
	b = appendText(b, history)
	b = appendText(b, c.Parent)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Revision))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixNano()))
	b = appendText(b, c.Actor)
	b = appendText(b, c.Reason)
	b = appendText(b, c.IdempotencyKey)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Ops)))
	for _, op := range c.Ops {
		b = appendText(b, string(op.Kind))
		b = appendText(b, op.Key)
		b = appendText(b, string(op.Value))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// DecodeChange reads the canonical form; Change.Hash is computed from it. It accepts exactly
// what EncodeChange writes.
func DecodeChange(data []byte) (history string, c Change, err error) {
	if len(data) > MaxChange || !bytes.HasPrefix(data, []byte(canonMagic)) {
		return "", Change{}, fmt.Errorf("change: %d bytes are not in canonical form 1: a newer version may have written them", len(data))
	}
	r := reader{rest: data[len(canonMagic):]}
	history = r.text()
	c.Parent = r.text()
	c.Epoch, c.Revision = int64(r.uint64()), int64(r.uint64())
	c.Time = time.Unix(0, int64(r.uint64())).UTC()
	c.Actor, c.Reason, c.IdempotencyKey = r.text(), r.text(), r.text()
	n := r.uint32()
	if n > MaxOps {
		return "", Change{}, fmt.Errorf("change: %d ops, at most %d are possible: the bytes are damaged", n, MaxOps)
	}
	for range n {
		op := Op{Kind: EntityKind(r.text()), Key: r.text()}
		if v := r.text(); v != "" {
			op.Value = json.RawMessage(v)
		}
		c.Ops = append(c.Ops, op)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err != nil {
		return "", Change{}, fmt.Errorf("change: the bytes are damaged: %w", r.err)
	}
	c.Hash = HashOf(data)
	return history, c, nil
}

// reader takes fields off the front; after the first error it gives zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err == nil && uint64(len(r.rest)) < n {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) text() string { return string(r.take(uint64(r.uint32()))) }

// SameOps reports whether two lists of normalised ops are equal, byte for byte.
func SameOps(a, b []Op) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Kind != b[i].Kind || a[i].Key != b[i].Key || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
