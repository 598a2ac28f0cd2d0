package flagd_test

import (
	"net/http"
	"testing"

	"connectrpc.com/connect"

	v2 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv2pb"
)

// BenchmarkResolve is one evaluation after the other, over sockets of this machine.
func BenchmarkResolve(b *testing.B) {
	for name, p := range map[string]struct {
		client  *http.Client
		options []connect.ClientOption
	}{
		"gRPC":               {h2(), []connect.ClientOption{connect.WithGRPC()}},
		"Connect, JSON":      {http.DefaultClient, []connect.ClientOption{connect.WithProtoJSON()}},
		"Connect, protobufs": {http.DefaultClient, nil},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.put("default", boolFlag("a"))
			client := v2.NewServiceClient(p.client, r.url, append(p.options, as("sdk", ""))...)
			request := &v2.ResolveBooleanRequest{FlagKey: "a", Context: object(b, map[string]any{"targetingKey": "u", "plan": "pro"})}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.ResolveBoolean(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
