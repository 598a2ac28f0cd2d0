package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// maxBatch bounds the body of a batch, in bytes: what one change can hold.
const maxBatch = control.MaxChange / 2

// apply makes many definitions one change.
func (c *call) apply() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	data, err := c.body(maxBatch)
	if err != nil {
		return err
	}
	batch, reason, err := decodeBatch(data)
	if err != nil {
		return err
	}
	if err := c.reason(&o, reason); err != nil {
		return err
	}
	applied, err := c.api.cfg.Service.Apply(c.r.Context(), batch, o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, applied)
}

// decodeBatch reads a batch, strictly. The definitions in it are read as they are one by one, so
// that problems have the same words.
func decodeBatch(data []byte) (b control.Batch, reason string, err error) {
	var body struct {
		Flags          []json.RawMessage   `json:"flags"`
		Segments       []json.RawMessage   `json:"segments"`
		Layers         []json.RawMessage   `json:"layers"`
		DeleteFlags    []string            `json:"deleteFlags"`
		DeleteSegments []string            `json:"deleteSegments"`
		DeleteLayers   []string            `json:"deleteLayers"`
		IfMatch        []control.Condition `json:"ifMatch"`
		Reason         string              `json:"reason"`
	}
	if err := decodeStrict("batch", data, &body); err != nil {
		return b, "", invalidBody(err)
	}
	if n := len(body.Flags) + len(body.Segments) + len(body.Layers); n > control.MaxOps {
		return b, "", &control.Error{Code: control.CodeTooLarge, Message: fmt.Sprintf("the batch has %d entities, at most %d are allowed: split it", n, control.MaxOps)}
	}
	problems := &flag.Problems{Subject: "batch"}
	b = control.Batch{
		Flags:       decodeEach(problems, "/flags", body.Flags, flag.DecodeFlag),
		Segments:    decodeEach(problems, "/segments", body.Segments, flag.DecodeSegment),
		Layers:      decodeEach(problems, "/layers", body.Layers, flag.DecodeLayer),
		DeleteFlags: body.DeleteFlags, DeleteSegments: body.DeleteSegments, DeleteLayers: body.DeleteLayers,
		Conditions: body.IfMatch,
	}
	if err := problems.Err(); err != nil {
		return b, "", invalidBody(err)
	}
	return b, body.Reason, nil
}

func decodeEach[T any](problems *flag.Problems, at string, raw []json.RawMessage, decode func([]byte) (T, error)) []T {
	list := make([]T, len(raw))
	for i, data := range raw {
		var err error
		list[i], err = decode(data)
		problems.Merge(flag.Pointer(at, i), err)
	}
	return list
}
