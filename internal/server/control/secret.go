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

func newTokenID() string { return strings.ToLower(rand.Text()[:16]) }
