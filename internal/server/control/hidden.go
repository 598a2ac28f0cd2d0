package control

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
)

// Hidden is text that must not get into answers and logs by accident: however it is printed or
// encoded, it says only that it is hidden. Reveal gives the text.
type Hidden string

const hiddenText = "[hidden]"

// Reveal gives the text itself.
func (h Hidden) Reveal() string { return string(h) }

// String hides the text from fmt.
func (Hidden) String() string { return hiddenText }

// GoString hides the text from %#v.
func (Hidden) GoString() string { return hiddenText }

// LogValue hides the text from slog.
func (Hidden) LogValue() slog.Value { return slog.StringValue(hiddenText) }

// MarshalText hides the text from encoders.
func (Hidden) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }

// newWebhookSecret makes a secret as Standard Webhooks serialises them: whsec_ and base64, of 256
// random bits (the specification asks for 192 to 512).
func newWebhookSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(random[:])
}
