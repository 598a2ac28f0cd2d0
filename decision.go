package seatrial

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// This file writes and reads what travels between services during a chaos experiment: decisions in
// the baggage of calls, and marks in their answers. Both name the attempt of the experiment and the
// unit by keyed digests, so that they tell strangers nothing, and decisions are signed, so that
// strangers cannot make any. The key is the secret of the experiment, which only the control plane
// and its clients know.

const (
	// baggageKey is the member of the baggage that carries decisions.
	baggageKey = "seatrial.fault"

	maxCarried = 4 // experiments in one member, and in one header of marks

	idSize     = 8  // bytes
	digestSize = 8  // bytes
	macSize    = 12 // bytes; RFC 2104, section 5: not below 80 bits

	entrySize = 39 // characters of one decision: the arm, then the above in base64
	markSize  = 12 // characters of one mark without hitMark: the arm, then the id

	separator = "."
	hitMark   = "!"

	nothingMet = "-" // in place of marks: who sends it could have told
)

// The letters of the arms on the wire. A unit that is in neither arm is told as well: who is asked
// further inside must not decide otherwise.
const (
	letterTreatment = 't'
	letterControl   = 'c'
	letterNone      = 'n'
)

func letterOf(r eval.Role) byte {
	switch r {
	case eval.RoleTreatment:
		return letterTreatment
	case eval.RoleControl:
		return letterControl
	}
	return letterNone
}

func roleOf(letter byte) (r eval.Role, ok bool) {
	switch letter {
	case letterTreatment:
		return eval.RoleTreatment, true
	case letterControl:
		return eval.RoleControl, true
	}
	return eval.RoleNone, letter == letterNone
}

// signer makes and checks what travels for one attempt of an experiment.
type signer struct {
	secret []byte
	id     string // of the attempt, in base64
}

// newSigner gives the signer of an attempt. Without a secret it is nil, and nothing travels.
func newSigner(secret, attempt string) *signer {
	if secret == "" {
		return nil
	}
	s := &signer{secret: []byte(secret)}
	s.id = encoding.EncodeToString(s.sum("attempt", attempt)[:idSize])
	return s
}

var encoding = base64.RawURLEncoding.Strict()

// sum is an HMAC (RFC 2104) with SHA-256; purpose keeps sums of different meaning apart.
func (s *signer) sum(purpose, text string) []byte {
	h := hmac.New(sha256.New, s.secret)
	_, _ = h.Write([]byte("seatrial.fault/1 " + purpose + "\x00" + text))
	return h.Sum(nil)
}

// digest names a unit for the length of the attempt, in base64.
func (s *signer) digest(unit string) string {
	return encoding.EncodeToString(s.sum("unit", unit)[:digestSize])
}

// entry gives a signed decision: the letter of the arm, then id, digest of the unit and MAC.
func (s *signer) entry(r eval.Role, digest string) string {
	raw := make([]byte, 0, idSize+digestSize+macSize)
	id, _ := encoding.DecodeString(s.id)
	unit, _ := encoding.DecodeString(digest)
	raw = append(append(raw, id...), unit...)
	letter := string(letterOf(r))
	raw = append(raw, s.sum("decision", letter+string(raw))[:macSize]...)
	return letter + encoding.EncodeToString(raw)
}

// open finds the decision on the attempt in the value of a baggage member. It is false if there is
// none, or one that was not signed with the secret.
func (s *signer) open(member string) (r eval.Role, digest, entry string, ok bool) {
	if len(member) > maxCarried*(entrySize+1) {
		return 0, "", "", false
	}
	for entry := range strings.SplitSeq(member, separator) {
		if r, digest, ok := s.check(entry); ok {
			return r, digest, entry, true
		}
	}
	return 0, "", "", false
}

func (s *signer) check(entry string) (r eval.Role, digest string, ok bool) {
	if len(entry) != entrySize {
		return 0, "", false
	}
	r, ok = roleOf(entry[0])
	raw, err := encoding.DecodeString(entry[1:])
	if !ok || err != nil || encoding.EncodeToString(raw[:idSize]) != s.id {
		return 0, "", false
	}
	signed, mac := raw[:idSize+digestSize], raw[idSize+digestSize:]
	if !hmac.Equal(mac, s.sum("decision", entry[:1]+string(signed))[:macSize]) {
		return 0, "", false
	}
	return r, encoding.EncodeToString(signed[idSize:]), true
}

// met is one mark of an answer: a unit of work met an arm of an experiment.
type met struct {
	id  string
	arm arm
	hit bool
}

// formatMarks writes marks for the header of an answer; at most maxCarried.
func formatMarks(list []met) string {
	var b strings.Builder
	for i := range list[:min(len(list), maxCarried)] {
		if i > 0 {
			b.WriteString(separator)
		}
		letter := byte(letterControl)
		if list[i].arm == treatment {
			letter = letterTreatment
		}
		b.WriteByte(letter)
		b.WriteString(list[i].id)
		if list[i].hit {
			b.WriteString(hitMark)
		}
	}
	return b.String()
}

// parseMarks reads what formatMarks wrote, and passes over what it did not.
func parseMarks(text string) (list []met) {
	if len(text) > maxCarried*(markSize+len(hitMark)+len(separator)) {
		return nil
	}
	for entry := range strings.SplitSeq(text, separator) {
		entry, hit := strings.CutSuffix(entry, hitMark)
		if len(entry) != markSize {
			continue
		}
		switch entry[0] {
		case letterTreatment:
			list = append(list, met{entry[1:], treatment, hit})
		case letterControl:
			list = append(list, met{entry[1:], control, hit})
		}
	}
	return list
}
