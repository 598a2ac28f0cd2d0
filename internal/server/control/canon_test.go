package control_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

func sample() control.Change {
	return control.Change{Revision: 7, Epoch: 2, Parent: control.Genesis("h"), Time: day0.Add(123456789), Actor: "ana", Reason: "why", IdempotencyKey: "k",
		Ops: []control.Op{{Kind: control.KindFlag, Key: "f", Value: json.RawMessage(`{"a":1}`)}, {Kind: control.KindSegment, Key: "s"}}}
}

// The canonical form must stay what it is: the hashes of stored changes depend on it. The expected
// ones were computed by another program (Python, struct and hashlib) from the description of
// EncodeChange.
func TestCanonicalFormIsPinned(t *testing.T) {
	const (
		genesis = "27062c2cf746d5b0bc43a7928b20db5c058dccc0fb4b9262c124b812337f0027"
		hash    = "fc5a65ed4bd6300c542b0238baff77d2279f98e3cfa6e1d4218775fb34d79402"
	)
	c := sample()
	data := control.EncodeChange("h", c)
	if c.Parent != genesis || control.HashOf(data) != hash {
		t.Errorf("genesis %s, hash %s", c.Parent, control.HashOf(data))
	}
	history, got, err := control.DecodeChange(data)
	c.Hash = hash
	if err != nil || history != "h" {
		t.Fatalf("history %q, error %v", history, err)
	}
	wantEqual(t, "the change", got, c)
}

// Every field counts: a change in any of them is another hash.
func TestHashCoversEverything(t *testing.T) {
	base := control.HashOf(control.EncodeChange("h", sample()))
	for name, change := range map[string]func(*control.Change){
		"revision":        func(c *control.Change) { c.Revision++ },
		"epoch":           func(c *control.Change) { c.Epoch++ },
		"parent":          func(c *control.Change) { c.Parent = control.Genesis("g") },
		"time":            func(c *control.Change) { c.Time = c.Time.Add(time.Nanosecond) },
		"actor":           func(c *control.Change) { c.Actor = "ben" },
		"reason":          func(c *control.Change) { c.Reason = "" },
		"idempotency key": func(c *control.Change) { c.IdempotencyKey = "" },
		"kind":            func(c *control.Change) { c.Ops[0].Kind = control.KindSegment },
		"key":             func(c *control.Change) { c.Ops[0].Key = "g" },
		"value":           func(c *control.Change) { c.Ops[0].Value = json.RawMessage(`{"a":2}`) },
		"one op less":     func(c *control.Change) { c.Ops = c.Ops[:1] },
		"order":           func(c *control.Change) { c.Ops[0], c.Ops[1] = c.Ops[1], c.Ops[0] },
		"a moved border":  func(c *control.Change) { c.Actor, c.Reason = "anaw", "hy" },
	} {
		c := sample()
		change(&c)
		if control.HashOf(control.EncodeChange("h", c)) == base {
			t.Errorf("%s is not covered", name)
		}
	}
	if control.HashOf(control.EncodeChange("g", sample())) == base {
		t.Error("the history is not covered")
	}
}

// FuzzDecodeChange: nothing makes it panic, and it accepts exactly what EncodeChange writes.
func FuzzDecodeChange(f *testing.F) {
	data := control.EncodeChange("h", sample())
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(append(bytes.Clone(data), 0))
	f.Add([]byte("seatrial change 2\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		history, c, err := control.DecodeChange(data)
		if err != nil {
			return
		}
		if again := control.EncodeChange(history, c); !bytes.Equal(again, data) {
			t.Errorf("%q was read, %q would be written", data, again)
		}
	})
}
