package ofrep

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/server/control"
)

// plates are the answers of one published state, as far as they can be written beforehand.
type plates struct {
	view     *control.View
	list     []*plate // sorted by key
	byKey    map[string]*plate
	metadata []byte // of the flag set: "metadata":{…}
	// all and client are what an answer for all flags consists of, for servers and for browsers.
	all, client func() []piece
}

func newPlates(view *control.View, snapshot *eval.Snapshot) *plates {
	flags := snapshot.Flags()
	p := &plates{view: view, list: make([]*plate, len(flags)), byKey: make(map[string]*plate, len(flags))}
	for i, f := range flags {
		p.list[i] = &plate{flag: f, set: snapshot.Environment()}
		p.byKey[f.Key()] = p.list[i]
	}
	p.metadata = append([]byte(`"metadata":`), encode(map[string]any{
		"flagSetId": snapshot.Environment(), "version": snapshot.Revision(),
	})...)
	p.all = sync.OnceValue(func() []piece { return p.pieces(false) })
	p.client = sync.OnceValue(func() []piece { return p.pieces(true) })
	return p
}

// find gives the plate of a flag, nil if there is none that the caller may see.
func (p *plates) find(key string, client bool) *plate {
	if found := p.byKey[key]; found != nil && (!client || found.flag.ClientSide()) {
		return found
	}
	return nil
}

// piece is a part of the answer for all flags: bytes, then what a flag gives. The commas are in
// the bytes.
type piece struct {
	fixed []byte
	flag  *plate // nil: nothing
}

// pieces puts flags that always answer the same into one run of bytes.
func (p *plates) pieces(client bool) []piece {
	var list []piece
	var run []byte
	for _, one := range p.list {
		if client && !one.flag.ClientSide() {
			continue
		}
		if len(list) > 0 || len(run) > 0 {
			run = append(run, ',')
		}
		one.prepare()
		if one.fixed != nil {
			run = append(run, one.fixed...)
			continue
		}
		list = append(list, piece{run, one})
		run = nil
	}
	return append(list, piece{fixed: run})
}

// plate is what a flag's answers are put together from: head, reason, and the tail of the
// variant.
type plate struct {
	flag *eval.Flag
	set  string // environment

	once  sync.Once
	head  []byte // {"key":"…","reason":"
	tails []tail
	bare  []byte // the tail without variant
	last  []byte // ,"metadata":{…}}
	fixed []byte // the whole answer, if it depends on nothing
}

type tail struct {
	variant string
	text    []byte // ","variant":"…","value":…,"metadata":{…}}
}

// prepare encodes the plate when it is first used.
func (p *plate) prepare() { p.once.Do(p.encode) }

func (p *plate) encode() {
	p.head = slices.Concat([]byte(`{"key":`), encode(p.flag.Key()), []byte(`,"reason":"`))
	p.last = slices.Concat([]byte(`,"metadata":`), encode(p.metadata()), []byte(`}`))
	p.bare = append([]byte(`"`), p.last...)
	for _, v := range p.flag.Variants() {
		p.tails = append(p.tails, tail{v.Name, p.tail(v.Name, v.Value)})
	}
	// What is given to nobody for these reasons is given to everybody.
	if r := p.flag.Evaluate(nil); r.Error == "" && (r.Reason == eval.ReasonStatic || r.Reason == eval.ReasonDisabled) {
		p.fixed = p.answer(nil, &r)
	}
}

// tail writes what follows the reason. A value of null (no fault, no policy) is left out, as that
// is how the protocol says that the code's default holds.
func (p *plate) tail(variant string, value any) []byte {
	text := slices.Concat([]byte(`","variant":`), encode(variant))
	if value != nil {
		text = slices.Concat(text, []byte(`,"value":`), encode(value))
	}
	return append(text, p.last...)
}

// metadata is the flag's own, if it is a flagd definition, with the environment, and the version
// of the trial that runs on it.
func (p *plate) metadata() map[string]any {
	m := map[string]any{}
	maps.Copy(m, p.flag.Metadata())
	m["flagSetId"] = p.set
	if trials := p.flag.Trials(); len(trials) > 0 {
		m["version"] = trials[0].Version
	}
	return m
}

// give evaluates the flag and writes the answer; code tells why it has no value.
func (p *plate) give(dst []byte, c *eval.Context) (answer []byte, code eval.ErrorCode) {
	p.prepare()
	if p.fixed != nil {
		return append(dst, p.fixed...), ""
	}
	r := p.flag.Evaluate(c)
	if r.Error != "" {
		return p.failure(dst, r.Error), r.Error
	}
	return p.answer(dst, &r), ""
}

func (p *plate) answer(dst []byte, r *eval.Result) []byte {
	dst = append(append(dst, p.head...), r.Reason...)
	if r.Variant == "" && r.Value == nil {
		return append(dst, p.bare...)
	}
	for i := range p.tails {
		if p.tails[i].variant == r.Variant {
			return append(dst, p.tails[i].text...)
		}
	}
	return append(dst, p.tail(r.Variant, r.Value)...)
}

// failure writes why the flag has no value.
func (p *plate) failure(dst []byte, code eval.ErrorCode) []byte {
	dst = append(append(dst, `{"key":`...), encode(p.flag.Key())...)
	dst = append(append(dst, `,"errorCode":`...), encode(code)...)
	dst = append(append(dst, `,"errorDetails":`...), encode(details(code))...)
	return append(dst, p.last...)
}

func details(code eval.ErrorCode) string {
	switch code {
	case eval.ErrorTargetingKeyMissing:
		return "the flag needs a targeting key: send one in the context"
	case eval.ErrorFlagNotFound:
		return "there is no flag of this key here, or it is not for clients"
	case eval.ErrorGeneral:
		return "the flag's definition cannot be evaluated for this context: correct the definition"
	}
	return "the flag's definition cannot be evaluated: correct the definition"
}

// encode gives v as JSON. v consists of values that were decoded from JSON, which cannot fail.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
