package trial

import (
	"encoding/json"
	"errors"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// UnmarshalJSON reads what any version has stored. Evidence of another version stays empty: it
// cannot go on, and the next interval starts it anew (see renew).
func (b *BoundState) UnmarshalJSON(data []byte) error {
	var stored struct {
		Seconds   float64         `json:"seconds"`
		Treatment Count           `json:"treatment"`
		Control   Count           `json:"control"`
		Guard     json.RawMessage `json:"guard"`
		Ratio     json.RawMessage `json:"ratio"`
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		return err
	}
	read := BoundState{Seconds: stored.Seconds, Treatment: stored.Treatment, Control: stored.Control}
	for _, part := range []struct {
		data json.RawMessage
		into json.Unmarshaler
	}{{stored.Guard, &read.Guard}, {stored.Ratio, &read.Ratio}} {
		if part.data == nil {
			continue
		}
		if err := part.into.UnmarshalJSON(part.data); err != nil && !errors.Is(err, evidence.ErrFormat) {
			return err
		}
	}
	*b = read
	return nil
}

// renew starts the evidence of a running trial anew if another version has gathered it: other
// arithmetic is another test, and what it would have been cannot be told from sums. Until the new
// evidence speaks, nothing is proven; catastrophes are noticed all the same. A promoted treatment
// is only watched, and goes on.
func (s *State) renew(spec *Spec) {
	if s.Rules == Rules || s.Phase == PhaseWatching {
		return
	}
	for i := range s.Guardrails {
		g := newGuardrail(spec, &spec.Guardrails[i])
		g.NoData = s.Guardrails[i].NoData
		s.Guardrails[i] = g
	}
}
