package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
)

// BenchmarkPropagation measures how long a change takes to be evaluated by 100 connected clients, over real sockets and
// with a durable store: from before the change is sent to the control plane until the client's evaluation gives the new
// value. It reports the median and the 99th percentile over all clients and changes.
//
//	go test ./internal/server/app -run '^$' -bench Propagation -benchtime 200x
func BenchmarkPropagation(b *testing.B) {
	server, err := app.Start(b.Context(), app.Config{Addr: "127.0.0.1:0", DataDir: b.TempDir(), Bootstrap: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close(context.Background())
	editor := newToken(b, server, control.NewToken{Name: "bench", Kind: control.TokenAPI, Role: control.RoleEditor})
	at := putLimit(b, server.URL(), editor, 0, 0)
	clients := make([]*seatrial.Client, 100)
	for i := range clients {
		clients[i], err = seatrial.Open(b.Context(), seatrial.WithServer(server.URL()), seatrial.WithWait(10*time.Second),
			seatrial.WithKey(newToken(b, server, control.NewToken{Name: fmt.Sprint("client-", i), Kind: control.TokenSDK})))
		if err != nil {
			b.Fatal(err)
		}
		defer clients[i].Close(context.Background())
	}
	at = putLimit(b, server.URL(), editor, at, 0) // after the tokens, which are changes too
	times := make(chan time.Duration, len(clients))
	var all []time.Duration
	for i := int64(1); b.Loop(); i++ {
		sent := time.Now()
		for _, client := range clients {
			go func() {
				if err := client.WaitRevision(b.Context(), at+1); err != nil {
					b.Error(err)
				} else if got := client.Int(b.Context(), "limit", -1); got != i {
					b.Errorf("revision %d gives %d, want %d", at+1, got, i)
				}
				times <- time.Since(sent)
			}()
		}
		next := putLimit(b, server.URL(), editor, at, i)
		for range clients {
			all = append(all, <-times)
		}
		at = next
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "p99-ms")
}

// putLimit sets the flag "limit", which must be as of revision at (0: anything goes), and gives the new revision.
func putLimit(b *testing.B, url, token string, at, value int64) int64 {
	b.Helper()
	body := fmt.Sprintf(`{"key":"limit","kind":"config","type":"integer","enabled":true,"variants":[{"name":"v","value":%d}],"defaultVariant":"v"}`, value)
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, url+"/api/v1/flags/limit", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if at > 0 {
		req.Header.Set("If-Match", "*")
	} else {
		req.Header.Set("If-None-Match", "*")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	var stored struct {
		Revision int64 `json:"revision"`
	}
	if err := json.NewDecoder(res.Body).Decode(&stored); err != nil || res.StatusCode >= 300 {
		b.Fatalf("PUT: %s (%v)", res.Status, err)
	}
	return stored.Revision
}
