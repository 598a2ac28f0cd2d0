// Package api is the command line's small client for the HTTP API of the control plane. It
// knows paths, headers and error documents, and nothing of terminals.
//
// All methods of [Client] are safe for concurrent use. They return *[Problem] for what the
// server refused and *[Unreachable] when there was no answer.
package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

// Client talks to one control plane.
type Client struct {
	server string
	token  string
	// environment is the one that requests name; empty: that of the token, or the server's first.
	environment string
	http        *http.Client
}

// In gives a client for another environment of the same server.
func (c *Client) In(environment string) *Client {
	other := *c
	other.environment = environment
	return &other
}

// Environment is the one that requests name, empty if they name none.
func (c *Client) Environment() string { return c.environment }

// New makes a client for a server such as http://127.0.0.1:8420. The token may be empty: then
// requests carry none. Each request but an upload may take up to 30 s; ctx can make that shorter.
func New(server, token string) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server %q: give a URL such as http://127.0.0.1:8420", server)
	}
	return &Client{
		server: strings.TrimRight(server, "/"), token: token,
		http: &http.Client{Timeout: 30 * time.Second},
	}, nil
}

// Write says how a change is made. The zero value is a plain write without a reason.
type Write struct {
	// Reason is kept in the change log, for people.
	Reason string
	// DryRun checks and returns what would be stored, and stores nothing.
	DryRun bool
	// IfMatch is the ETag that the entity must still have; "*" means any. Required by the
	// server to change or delete an entity.
	IfMatch string
}

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	body         any // nil: none
	write        *Write
	// stream is sent as it is, instead of body; then the call may take as long as its context allows.
	stream      io.Reader
	contentType string
}

// do carries out r, decodes the answer into out (nil: ignored) and gives the ETag.
func (c *Client) do(ctx context.Context, r request, out any) (etag string, err error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return "", err
	}
	client := *c.http
	if r.stream != nil {
		client.Timeout = 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", c.unreachable(ctx, err)
	}
	if resp.StatusCode >= 300 {
		return "", problemOf(resp, body)
	}
	if out != nil && len(body) > 0 {
		if err := json.Unmarshal(body, out); err != nil {
			return "", fmt.Errorf("%s answered %s %s with something this version does not understand (%w): use the same version on both sides", c.server, r.method, r.path, err)
		}
	}
	return resp.Header.Get("ETag"), nil
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	body := r.stream
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	query := r.query
	if query == nil {
		query = url.Values{}
	}
	if r.write != nil && r.write.DryRun {
		query.Set("dryRun", "true")
	}
	if r.write != nil && r.write.Reason != "" {
		query.Set("reason", r.write.Reason)
	}
	target := c.server + r.path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	c.headers(req, r)
	return req, nil
}

func (c *Client) headers(req *http.Request, r request) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "seatrial-cli")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.stream != nil {
		req.Header.Set("Content-Type", r.contentType)
		req.Header.Set("Expect", "100-continue") // who may not, need not send it all
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.environment != "" {
		req.Header.Set("Seatrial-Environment", c.environment)
	}
	if r.write == nil {
		return
	}
	req.Header.Set("Idempotency-Key", rand.Text())
	if r.write.IfMatch != "" {
		req.Header.Set("If-Match", r.write.IfMatch)
	}
}

// unreachable keeps the caller's own cancellation apart from a server that does not answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Unreachable{Server: c.server, Err: err}
}

// Unreachable says that a server gave no answer.
type Unreachable struct {
	Server string
	Err    error
}

func (e *Unreachable) Error() string {
	reason := e.Err
	var u *url.Error
	if errors.As(reason, &u) {
		reason = u.Err
	}
	return fmt.Sprintf("no answer from %s (%v): start one with `seatrial dev`, or name another with --server", e.Server, reason)
}

// Unwrap gives the network's error.
func (e *Unreachable) Unwrap() error { return e.Err }

// Problem is the server's refusal, an RFC 9457 document.
type Problem struct {
	Type      string  `json:"type,omitempty"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail,omitempty"`
	Code      string  `json:"code,omitempty"`
	Errors    []Field `json:"errors,omitempty"`
	RequestID string  `json:"requestId,omitempty"`
}

// Field is one place of a request that is wrong, by JSON pointer.
type Field struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if len(p.Errors) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(p.Title)
	if len(p.Errors) == 1 && !strings.Contains(text, p.Errors[0].Detail) {
		b.Reset()
		b.WriteString(text)
	}
	for _, f := range p.Errors {
		b.WriteString("\n  ")
		if f.Pointer != "" {
			b.WriteString(f.Pointer + ": ")
		}
		b.WriteString(f.Detail)
	}
	return b.String()
}

// problemOf reads an error answer; one that is no problem document becomes one.
func problemOf(resp *http.Response, body []byte) error {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Title == "" && p.Detail == "" {
		p = &Problem{Title: http.StatusText(resp.StatusCode), Detail: fmt.Sprintf("%s %s: %s",
			resp.Request.Method, resp.Request.URL.Path, resp.Status)}
	}
	p.Status = resp.StatusCode
	return p
}

// NotFound reports whether err says that something does not exist.
func NotFound(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}
