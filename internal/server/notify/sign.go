package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// The headers of Standard Webhooks 1.0.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// sign sets the headers for one attempt: HMAC-SHA256 of id.timestamp.body, the time being that of
// the attempt (Standard Webhooks 1.0, "Signature scheme"). After a rotation both secrets sign.
func sign(h http.Header, w *control.WebhookTarget, id string, at time.Time, body []byte) error {
	secrets := []control.Hidden{w.Secret}
	if w.OldSecret != "" && at.Before(w.OldSecretUntil) {
		secrets = append(secrets, w.OldSecret)
	}
	var signatures []string
	for _, secret := range secrets {
		one, err := signature(secret, id, at, body)
		if err != nil {
			return err
		}
		signatures = append(signatures, one)
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(headerSignature, strings.Join(signatures, " "))
	return nil
}

func signature(secret control.Hidden, id string, at time.Time, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	if err != nil || len(key) == 0 {
		return "", fmt.Errorf("the secret is damaged: rotate it") // the error of base64 shows parts
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
