package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// ask gives the raw samples of a selector in the span before until (an instant query of a range
// selector; see Prometheus's HTTP API, "Instant queries", and "Range vector selectors").
func (s *Source) ask(ctx context.Context, what selector, until time.Time, span time.Duration) ([]series, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: prometheus: %w", what.place, context.Cause(ctx))
	}
	// The new line ends a comment, if the selector ends with one.
	query := fmt.Sprintf("%s\n[%dms]", what.text, span.Milliseconds())
	body, status, err := s.post(ctx, url.Values{
		"query": {query}, "time": {strconv.FormatFloat(float64(until.UnixMilli())/1000, 'f', 3, 64)},
		"timeout": {strconv.FormatFloat(s.cfg.Timeout.Seconds(), 'f', 3, 64)},
	})
	var found []series
	if err == nil {
		found, err = decode(body, status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %q: prometheus: %w", what.place, what.text, err)
	}
	return found, nil
}

// post sends a query and gives the answer, whatever its status.
func (s *Source) post(ctx context.Context, form url.Values) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if err := s.authorize(req); err != nil {
		return nil, 0, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // it says no more than the place does, with the whole URL
			err = wrapped.Err
		}
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, s.cfg.MaxAnswer+1))
	if err != nil {
		return nil, 0, fmt.Errorf("the answer broke off: %w", err)
	}
	if int64(len(body)) > s.cfg.MaxAnswer {
		return nil, 0, fmt.Errorf("the answer is larger than %d bytes; select fewer series, or have a recording rule add them up", s.cfg.MaxAnswer)
	}
	return body, res.StatusCode, nil
}

func (s *Source) authorize(req *http.Request) error {
	switch {
	case s.cfg.BearerTokenFile != "":
		token, err := secret(s.cfg.BearerTokenFile)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case s.cfg.BasicUser != "":
		password, err := secret(s.cfg.BasicPasswordFile)
		if err != nil {
			return err
		}
		req.SetBasicAuth(s.cfg.BasicUser, password)
	}
	return nil
}

// secret reads the first 64 KiB of a file.
func secret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// answer is that of Prometheus's HTTP API.
type answer struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// queryError is what Prometheus itself says of a query.
type queryError struct{ kind, text string }

func (e *queryError) Error() string { return e.kind + ": " + e.text }

// badData is the kind of errors about the query, which do not go away.
const badData = "bad_data"

// decode reads an answer; whatever is not a complete matrix of counters is an error.
func decode(body []byte, status int) ([]series, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Status != "success" && a.Status != "error" {
		if status != http.StatusOK {
			return nil, fmt.Errorf("it answered %d %s", status, http.StatusText(status))
		}
		return nil, fmt.Errorf("the answer is not one of Prometheus's HTTP API: check the URL")
	}
	switch {
	case a.Status == "error":
		return nil, &queryError{clip(a.ErrorType), clip(a.Error)}
	case status != http.StatusOK:
		return nil, fmt.Errorf("it answered %d %s", status, http.StatusText(status))
	case len(a.Warnings) > 0:
		return nil, fmt.Errorf("the answer may be incomplete: %s", clip(a.Warnings[0]))
	case a.Data.ResultType != "matrix":
		return nil, &queryError{badData, fmt.Sprintf("the answer is a %s; write a selector, such as http_requests_total{version=\"2\"}", clip(a.Data.ResultType))}
	}
	return decodeMatrix(a.Data.Result)
}

func decodeMatrix(result []byte) ([]series, error) {
	var list []struct {
		Metric     map[string]string `json:"metric"`
		Values     []sample          `json:"values"`
		Histograms json.RawMessage   `json:"histograms"`
	}
	if err := json.Unmarshal(result, &list); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	found := make([]series, 0, len(list))
	for i := range list {
		s := &list[i]
		name := s.Metric["__name__"]
		if len(s.Histograms) > 0 && string(s.Histograms) != "null" {
			return nil, &queryError{badData, fmt.Sprintf("%s is a native histogram; select counters, such as those of classic histograms", clip(name))}
		}
		for k := 1; k < len(s.Values); k++ {
			if s.Values[k].ms <= s.Values[k-1].ms {
				return nil, fmt.Errorf("the samples of %s are not in the order of time", clip(name))
			}
		}
		found = append(found, series{name: clip(name), target: targetOf(s.Metric), samples: s.Values})
	}
	return found, nil
}

// targetOf names what a series was scraped from.
func targetOf(labels map[string]string) string {
	if labels["instance"] == "" {
		return "" // of a recording rule, most likely
	}
	return labels["job"] + "\x00" + labels["instance"]
}

// UnmarshalJSON reads [1435781430.781, "1"]: seconds, and a float as text.
func (s *sample) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	at, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil || !(at > -1e12 && at < 1e12) {
		return fmt.Errorf("the time of a sample is %.20q", pair[0])
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("the value of a sample is %.20q", text)
	}
	s.ms, s.value = int64(math.Round(at*1000)), value
	return nil
}

// clip cuts texts of the server that are put into errors.
func clip(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
