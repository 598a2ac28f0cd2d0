package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Limits of one attempt.
const (
	sendTimeout = 10 * time.Second // from the connection to the end of the answer
	maxAnswer   = 64 << 10         // bytes of the answer that are read
	maxHeaders  = 16 << 10         // bytes
	maxExcerpt  = 300              // bytes of the answer that are shown
	maxError    = 500              // bytes of an error that are kept
)

// newClient makes the client for all webhooks. It follows no redirects, which would lead around
// what a person has entered, and takes no proxy from the environment, which would be called instead
// of the address that is checked.
func newClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: dial, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: dialTimeout,
			MaxIdleConns: 100, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
		},
	}
}

// answer is what became of one attempt.
type answer struct {
	status     int           // 0: there was none
	retryAfter time.Duration // 0: the receiver asked for nothing
	excerpt    string
	err        error // nil: it was taken
}

// final reports that the receiver does not want the event as it is, so that it is not worth days.
func (a answer) final() bool {
	return a.status >= 300 && a.status < 500 && a.status != http.StatusRequestTimeout && a.status != http.StatusTooManyRequests
}

// send makes one attempt.
func (n *Notifier) send(ctx context.Context, w *control.WebhookTarget, id string, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Address.Reveal(), bytes.NewReader(body))
	if err != nil {
		return answer{err: errors.New("the URL cannot be called: change it")} // the error would show it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "seatrial-webhook")
	if err := sign(req.Header, w, id, time.Now(), body); err != nil {
		return answer{err: err}
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return answer{err: plainly(err)}
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode/100 == 2 {
		return answer{err: fmt.Errorf("the answer broke off: %w", plainly(err))}
	}
	return judge(resp, read)
}

func judge(resp *http.Response, read []byte) answer {
	a := answer{status: resp.StatusCode, excerpt: excerpt(read)}
	switch {
	case a.status/100 == 2:
		return a
	case a.status/100 == 3:
		a.err = fmt.Errorf("it answered %s, and redirects are not followed: give the address that it leads to", resp.Status)
	default:
		a.err = fmt.Errorf("it answered %s", resp.Status)
	}
	a.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return a
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0 if there is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// plainly says what went wrong without the URL, which may have a secret in it.
func plainly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("there was no answer within %s", sendTimeout)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return fmt.Errorf("%s failed: %w", op.Op, op.Err)
	}
	return err
}

// excerpt gives the beginning of a body as one printable line.
func excerpt(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), maxExcerpt)]), "")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
}
