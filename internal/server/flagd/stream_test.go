package flagd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/flagd"
	v1 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv1pb"
	"github.com/seatrial/seatrial/internal/server/flagd/proto/syncv1pb"
)

// heard collects what a stream says, in the background.
type heard struct {
	mu       sync.Mutex
	messages []string // with the second at which they came, of event streams
	err      error    // read after synctest.Wait
	cancel   context.CancelFunc
}

func (h *heard) add(message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = append(h.messages, message)
}

func (h *heard) take() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.messages
	h.messages = nil
	return list
}

// listen opens an event stream; to be called in a bubble.
func (r *rig) listen(role string) *heard {
	ctx, cancel := context.WithCancel(context.Background())
	h, start := &heard{cancel: cancel}, time.Now()
	client := v1.NewServiceClient(r.h2(), r.url, connect.WithGRPC(), as(role, ""))
	go func() {
		stream, err := client.EventStream(ctx, &v1.EventStreamRequest{})
		if err != nil {
			h.err = err
			return
		}
		for stream.Receive() {
			said := time.Since(start).Round(time.Second).String() + " " + stream.Msg().GetType()
			if data := stream.Msg().GetData(); data != nil {
				said += " " + asJSON(data.AsMap())
			}
			h.add(said)
		}
		h.err = stream.Err()
	}()
	synctest.Wait()
	return h
}

// sync opens a stream of definitions, by gRPC unless there are other options; to be called in a
// bubble.
func (r *rig) sync(role, selector string, options ...connect.ClientOption) *heard {
	ctx, cancel := context.WithCancel(context.Background())
	h := &heard{cancel: cancel}
	if options == nil {
		options = []connect.ClientOption{connect.WithGRPC()}
	}
	client := syncv1pb.NewFlagSyncServiceClient(r.h2(), r.url, append(options, as(role, ""))...)
	go func() {
		stream, err := client.SyncFlags(ctx, &syncv1pb.SyncFlagsRequest{Selector: selector})
		if err != nil {
			h.err = err
			return
		}
		for stream.Receive() {
			h.add(stream.Msg().GetFlagConfiguration())
		}
		h.err = stream.Err()
	}()
	synctest.Wait()
	return h
}

func wantSaid(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

func TestEventsOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t)
		defer r.close()
		r.put("default", boolFlag("a"), boolFlag("c", func(f *flag.Flag) { f.ClientSide = true }))
		server, browser := r.listen("sdk"), r.listen("client")
		wantSaid(t, "at once", server.take(), "0s provider_ready")
		time.Sleep(45 * time.Second)
		wantSaid(t, "while nothing happens", server.take(), "20s keep_alive", "40s keep_alive")
		r.put("default", boolFlag("a", func(f *flag.Flag) { f.DefaultVariant = "on" }))
		wantSaid(t, "a change, at once", server.take(), `45s configuration_change {"flags":{"a":{"type":"update"}}}`)
		r.put("default", boolFlag("b"))
		wantSaid(t, "a new flag", server.take(), `45s configuration_change {"flags":{"b":{"type":"write"}}}`)
		r.remove("b")
		wantSaid(t, "a flag that is gone", server.take(), `45s configuration_change {"flags":{"b":{"type":"delete"}}}`)
		r.try("a")
		wantSaid(t, "a trial", server.take(), `45s configuration_change {"flags":{"a":{"type":"update"}}}`)
		r.putSegment("beta", "u1")
		r.put("default", boolFlag("s", forSegment("beta")))
		wantSaid(t, "a segment that nobody uses, a flag", server.take(), `45s configuration_change {"flags":{"s":{"type":"write"}}}`)
		r.putSegment("beta", "u2")
		wantSaid(t, "a segment that a flag uses", server.take(), `45s configuration_change {"flags":{"s":{"type":"update"}}}`)
		r.token()
		r.put("staging", boolFlag("a"))
		wantSaid(t, "what is nothing to these flags", server.take())
		wantSaid(t, "what a browser may know", browser.take(), "0s provider_ready", "20s keep_alive", "40s keep_alive")
		if s := r.server.Stats(); s.Streams != 2 || s.Changes != 6 {
			t.Errorf("stats %+v", s)
		}
		server.cancel()
		browser.cancel()
		synctest.Wait()
		if s := r.server.Stats(); s.Streams != 0 {
			t.Errorf("both are gone: %+v", s)
		}
	})
}

func TestDefinitionsAreWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		r := newMemoryRig(t, func(c *flagd.Config) {
			c.Export = func(set flag.Set) ([]byte, error) { written.Add(1); return exportPlainly(set) }
		})
		defer r.close()
		r.put("default", boolFlag("a"))
		var all []*heard
		for range 20 {
			all = append(all, r.sync("sdk", ""))
		}
		for _, h := range all {
			wantSaid(t, "at once", h.take(), `{"flags":{"a":{"state":"DISABLED","variants":{}}},"metadata":{"flagSetId":"default","version":1}}`)
		}
		r.token()
		wantSaid(t, "a token", all[0].take())
		r.put("default", boolFlag("b"))
		for _, h := range all {
			got := h.take()
			if len(got) != 1 || !strings.Contains(got[0], `"b"`) || !strings.Contains(got[0], `"version":3`) {
				t.Errorf("after a change: %q", got)
			}
		}
		if n := written.Load(); n != 2 {
			t.Errorf("written %d times for 2 states", n)
		}
	})
}

func TestEqualDefinitionsAreNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t, func(c *flagd.Config) {
			c.Export = func(set flag.Set) ([]byte, error) { return json.Marshal(len(set.Flags)) }
		})
		defer r.close()
		h := r.sync("sdk", "")
		r.put("default", boolFlag("a"))
		r.put("default", boolFlag("a", func(f *flag.Flag) { f.Description = "not in the file" }))
		wantSaid(t, "two changes, one of the file", h.take(), "0", "1")
	})
}

func TestSlowStreamsSkipStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t, func(c *flagd.Config) {
			c.Export = func(set flag.Set) ([]byte, error) {
				return json.Marshal(map[string]any{"version": set.Revision, "text": strings.Repeat("x", 2<<20)})
			}
		})
		defer r.close()
		r.put("default", boolFlag("a"))
		client := syncv1pb.NewFlagSyncServiceClient(r.h2(), r.url, connect.WithGRPC(), as("sdk", ""))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := client.SyncFlags(ctx, &syncv1pb.SyncFlagsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			r.put("default", boolFlag("a", func(f *flag.Flag) { f.Description = strings.Repeat("x", i+1) }))
			synctest.Wait()
		}
		var version, received int64
		for version < 21 && stream.Receive() {
			var document struct{ Version int64 }
			if err := json.Unmarshal([]byte(stream.Msg().GetFlagConfiguration()), &document); err != nil || document.Version <= version {
				t.Fatalf("version %d after %d: %v", document.Version, version, err)
			}
			version = document.Version
			received++
		}
		if received > 6 || version != 21 {
			t.Errorf("received %d states, the last of version %d: %v", received, version, stream.Err())
		}
	})
}

func TestAStreamThatTakesNothingIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t)
		defer r.close()
		r.client = h2()
		conn, err := r.memory.Dial(context.Background(), "tcp", "memory")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		body := "\x00\x00\x00\x00\x02{}"
		_, err = conn.Write([]byte("POST " + v1.ServiceEventStreamProcedure + " HTTP/1.1\r\nHost: memory\r\nAuthorization: Bearer sdk\r\n" +
			"Content-Type: application/connect+json\r\nContent-Length: 7\r\n\r\n" + body))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the answer is not read
		if s := r.server.Stats(); s.Streams != 1 {
			t.Fatalf("stats %+v", s)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if s := r.server.Stats(); s.Streams != 0 {
			t.Errorf("it still has its place: %+v", s)
		}
	})
}

func TestHowStreamsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(r *rig)
		code connect.Code
		last string
	}{
		{"the server stops", func(r *rig) { r.server.Stop() }, connect.CodeUnavailable, "0s provider_shutdown"},
		{"the key is revoked", func(r *rig) { r.revoke("sdk"); time.Sleep(11 * time.Second) }, connect.CodeUnauthenticated, "0s provider_ready"},
		{"the environment is deleted", func(r *rig) { r.set("default", nil); time.Sleep(11 * time.Second) }, connect.CodeNotFound, "0s provider_ready"},
		{"the environment is another one", func(r *rig) { r.set("default", r.services["staging"]); time.Sleep(11 * time.Second) }, connect.CodeUnavailable, "0s provider_ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newMemoryRig(t)
				defer r.close()
				events, definitions := r.listen("sdk"), r.sync("sdk", "")
				test.end(r)
				synctest.Wait()
				if connect.CodeOf(events.err) != test.code || connect.CodeOf(definitions.err) != test.code {
					t.Errorf("got %v and %v, want %v", events.err, definitions.err, test.code)
				}
				if got := events.take(); len(got) == 0 || got[len(got)-1] != test.last {
					t.Errorf("heard %q", got)
				}
				if r.server.Stats().Streams != 0 {
					t.Error("the streams keep their places")
				}
			})
		})
	}
}

func TestNoStreamIsOpenedWhileTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t)
		defer r.close()
		r.server.Stop()
		events, definitions := r.listen("sdk"), r.sync("sdk", "")
		if connect.CodeOf(events.err) != connect.CodeUnavailable || connect.CodeOf(definitions.err) != connect.CodeUnavailable {
			t.Errorf("got %v and %v", events.err, definitions.err)
		}
	})
}

func TestStreamsOutliveQuietHours(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newMemoryRig(t)
				defer r.close()
				r.client = &http.Client{Transport: &http.Transport{DialContext: r.memory.Dial}}
				if http2 {
					r.client = nil
				}
				h := r.sync("sdk", "", connect.WithProtoJSON())
				time.Sleep(3 * time.Hour)
				r.put("default", boolFlag("a"))
				if got := h.take(); len(got) != 2 || h.err != nil {
					t.Errorf("heard %q, %v", got, h.err)
				}
				h.cancel()
				synctest.Wait()
				if s := r.server.Stats(); s.Streams != 0 {
					t.Errorf("the client is gone: %+v", s)
				}
			})
		})
	}
}

func TestLimitsOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t, func(c *flagd.Config) { c.Limits = flagd.Limits{Streams: 3, StreamsPerKey: 2} })
		defer r.close()
		first := r.sync("sdk", "")
		for _, step := range []struct {
			h    *heard
			says string
		}{{r.listen("sdk"), ""}, {r.listen("sdk"), "this key"}, {r.listen("viewer"), ""}, {r.listen("editor"), "the server"}} {
			if step.says == "" && step.h.err != nil || step.says != "" &&
				(connect.CodeOf(step.h.err) != connect.CodeResourceExhausted || !strings.Contains(step.h.err.Error(), step.says)) {
				t.Errorf("got %v, want something about %q", step.h.err, step.says)
			}
		}
		first.cancel()
		synctest.Wait()
		if again := r.sync("sdk", ""); again.err != nil {
			t.Errorf("one place is free: %v", again.err)
		}
	})
}

func TestDefinitions(t *testing.T) {
	var said bytes.Buffer
	r := newRig(t, func(c *flagd.Config) { c.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	fill(r)
	client := func(role, header string) syncv1pb.FlagSyncServiceClient {
		return syncv1pb.NewFlagSyncServiceClient(h2(), r.url, connect.WithGRPC(), as(role, header))
	}
	for _, test := range []struct{ role, header, body, environment string }{
		{"sdk", "", "", "default"},
		{"viewer", "", "staging", "staging"},
		{"sdk", "", "flagSetId=staging", "staging"},
		{"sdk", "flagSetId=staging", "flagSetId=default", "staging"},
	} {
		got, err := client(test.role, test.header).FetchAllFlags(t.Context(), &syncv1pb.FetchAllFlagsRequest{Selector: test.body})
		if err != nil || !strings.Contains(got.GetFlagConfiguration(), `"flagSetId":"`+test.environment+`"`) {
			t.Errorf("%+v: got %v, %v", test, got, err)
		}
	}
	for name, test := range map[string]struct {
		role, selector string
		code           connect.Code
	}{
		"a browser's key":  {"client", "", connect.CodePermissionDenied},
		"a bad selector":   {"sdk", "a=b", connect.CodeInvalidArgument},
		"no such place":    {"sdk", "flagSetId=other", connect.CodeNotFound},
		"nobody's request": {"", "", connect.CodeUnauthenticated},
	} {
		_, err := client(test.role, test.selector).FetchAllFlags(t.Context(), &syncv1pb.FetchAllFlagsRequest{})
		stream, errOpen := client(test.role, test.selector).SyncFlags(t.Context(), &syncv1pb.SyncFlagsRequest{})
		if errOpen == nil {
			stream.Receive()
			errOpen = stream.Err()
		}
		if connect.CodeOf(err) != test.code || connect.CodeOf(errOpen) != test.code {
			t.Errorf("%s: got %v and %v, want %v", name, err, errOpen, test.code)
		}
	}
	if meta, err := client("sdk", "").GetMetadata(t.Context(), &syncv1pb.GetMetadataRequest{}); err != nil || meta.GetMetadata() == nil {
		t.Errorf("metadata %v, %v", meta, err)
	}
	if said.Len() > 0 {
		t.Errorf("requests are no news, but the log says %s", &said)
	}
}

func TestDefinitionsThatCannotBeSent(t *testing.T) {
	for _, test := range []struct {
		name   string
		export func(flag.Set) ([]byte, error)
		code   connect.Code
		says   string
	}{
		{"too long", func(flag.Set) ([]byte, error) { return make([]byte, 4<<20), nil }, connect.CodeResourceExhausted, "too long"},
		{"impossible", func(flag.Set) ([]byte, error) { return nil, errors.New("no") }, connect.CodeDataLoss, "cannot be written"},
	} {
		var said bytes.Buffer
		r := newRig(t, func(c *flagd.Config) {
			c.Export, c.Logger = test.export, slog.New(slog.NewTextHandler(&said, nil))
		})
		client := syncv1pb.NewFlagSyncServiceClient(h2(), r.url, connect.WithGRPC(), as("sdk", ""))
		for range 3 {
			stream, err := client.SyncFlags(t.Context(), &syncv1pb.SyncFlagsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if stream.Receive() || connect.CodeOf(stream.Err()) != test.code {
				t.Errorf("%s: got %v", test.name, stream.Err())
			}
		}
		if n := strings.Count(said.String(), test.says); n != 1 {
			t.Errorf("%s: the log says it %d times: %s", test.name, n, &said)
		}
		if _, err := v1.NewServiceClient(http.DefaultClient, r.url, as("sdk", "")).ResolveAll(t.Context(), &v1.ResolveAllRequest{}); err != nil {
			t.Errorf("%s: evaluations go on: %v", test.name, err)
		}
	}
}
