package control

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A secret is st_<kind>_ and 59 characters of a-z and 2-7: 52 for 256 random bits and 7 for the
// CRC-32 (IEEE) of everything before, so that scanners tell a leaked token from a word.

// maxSecret bounds what is hashed of a presented secret, in bytes.
const maxSecret = 128

var secretText = base32.StdEncoding.WithPadding(base32.NoPadding)

func newSecret(kind TokenKind) string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	text := secretPrefix(kind) + encodeSecret(random[:])
	return text + checksum(text)
}

func secretPrefix(kind TokenKind) string { return "st_" + string(kind) + "_" }

func encodeSecret(b []byte) string { return strings.ToLower(secretText.EncodeToString(b)) }

func checksum(text string) string {
	return encodeSecret(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))))
}

// LooksLikeToken reports whether text has the form and the checksum of a token's secret. It says
// nothing of whether it is one.
func LooksLikeToken(text string) bool {
	const sumLength = 7
	if len(text) <= sumLength || len(text) > maxSecret {
		return false
	}
	if !strings.HasPrefix(text, secretPrefix(TokenSDK)) && !strings.HasPrefix(text, secretPrefix(TokenAPI)) {
		return false
	}
	at := len(text) - sumLength
	return checksum(text[:at]) == text[at:]
}

func newTokenID() string { return strings.ToLower(rand.Text()[:16]) }
