package cli

import (
	"reflect"
	"testing"
	"time"

	"github.com/seatrial/seatrial/fault"
)

func TestNotationOfEveryFault(t *testing.T) {
	for _, test := range []struct {
		kind, text string
		want       fault.Fault
		fails      bool
	}{
		{"error", "503", fault.Fault{Kind: fault.KindError, Weight: 1, Status: 503}, false},
		{"error", "UNAVAILABLE:2:after", fault.Fault{Kind: fault.KindError, Weight: 2, Phase: fault.After, Code: "UNAVAILABLE"}, false},
		{"error", "503:instead:7", fault.Fault{Kind: fault.KindError, Weight: 7, Phase: fault.Instead, Status: 503}, false},
		{"error", "503:0", fault.Fault{}, true},
		{"error", "unavailable", fault.Fault{}, true},
		{"error", "", fault.Fault{}, true},
		{"latency", "100ms..300ms:3", fault.Fault{Kind: fault.KindLatency, Weight: 3, Min: 100 * time.Millisecond, Max: 300 * time.Millisecond}, false},
		{"latency", "normal:200ms+-50ms:2:after", fault.Fault{Kind: fault.KindLatency, Weight: 2, Phase: fault.After,
			Distribution: &fault.Distribution{Kind: fault.Normal, Mean: 200 * time.Millisecond, StdDev: 50 * time.Millisecond}}, false},
		{"latency", "lognormal:300ms/2s", fault.Fault{Kind: fault.KindLatency, Weight: 1, Distribution: &fault.Distribution{Kind: fault.LogNormal, P50: 300 * time.Millisecond, P99: 2 * time.Second}}, false},
		{"latency", "quantiles:0.5=1ms,0.9=2ms:4", fault.Fault{Kind: fault.KindLatency, Weight: 4, Distribution: &fault.Distribution{Kind: fault.Quantiles,
			Points: []fault.Quantile{{Q: 0.5, Value: time.Millisecond}, {Q: 0.9, Value: 2 * time.Millisecond}}}}, false},
		{"latency", "lognormal:300ms", fault.Fault{}, true},
		{"latency", "quantiles:0.5", fault.Fault{}, true},
		{"latency", "300ms..100ms", fault.Fault{}, true},
		{"cancel", "2", fault.Fault{Kind: fault.KindCancel, Weight: 2}, false},
		{"cancel", "true", fault.Fault{Kind: fault.KindCancel, Weight: 1}, false},
		{"cancel", "10ms..50ms:2", fault.Fault{Kind: fault.KindCancel, Weight: 2, Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}, false},
		{"reset", "2:after", fault.Fault{Kind: fault.KindReset, Weight: 2, Phase: fault.After}, false},
		{"reset", "instead", fault.Fault{Kind: fault.KindReset, Weight: 1, Phase: fault.Instead}, false},
		{"reset", "true:3", fault.Fault{Kind: fault.KindReset, Weight: 3}, false},
		{"reset", "soon", fault.Fault{}, true},
		{"reset", "0", fault.Fault{}, true},
		{"bandwidth", "64KiB:2", fault.Fault{Kind: fault.KindBandwidth, Weight: 2, BytesPerSecond: 65536}, false},
		{"bandwidth", "10kB/s", fault.Fault{Kind: fault.KindBandwidth, Weight: 1, BytesPerSecond: 10_000}, false},
		{"bandwidth", "9999999999999999KiB", fault.Fault{}, true},
		{"bandwidth", "-1", fault.Fault{}, true},
		{"truncate", "512", fault.Fault{Kind: fault.KindTruncate, Weight: 1, AfterBytes: 512}, false},
		{"truncate", "2MB", fault.Fault{Kind: fault.KindTruncate, Weight: 1, AfterBytes: 2_000_000}, false},
		{"corrupt", "1%:2", fault.Fault{Kind: fault.KindCorrupt, Weight: 2, Share: 0.01}, false},
		{"corrupt", "0", fault.Fault{}, true},
	} {
		for _, list := range (&faultFlags{}).lists() {
			if list.name != test.kind {
				continue
			}
			got, err := list.parse(test.text)
			if (err != nil) != test.fails || !test.fails && !reflect.DeepEqual(got, test.want) {
				t.Errorf("--%s %s: %+v, %v", test.kind, test.text, got, err)
			}
		}
	}
}

func TestSequenceNotation(t *testing.T) {
	status := fault.Fault{Kind: fault.KindError, Status: 503}
	late := fault.Fault{Kind: fault.KindReset, Phase: fault.After}
	slow := fault.Fault{Kind: fault.KindLatency, Min: 200 * time.Millisecond, Max: 200 * time.Millisecond}
	got, err := parseSequence("2*503, ok,3*reset:after,200ms")
	want := []fault.Step{{Count: 2, Fault: &status}, {Count: 1}, {Count: 3, Fault: &late}, {Count: 1, Fault: &slow}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "0*503", "x*503", "2*", "2*200", "2*bandwidth", "2*503,", "9999999999*ok"} {
		if got, err := parseSequence(text); err == nil {
			t.Errorf("%q gave %+v", text, got)
		}
	}
}

// FuzzFaultNotation: whatever is typed, nothing panics, and what passes is what services accept.
func FuzzFaultNotation(f *testing.F) {
	f.Add("503:2:after", "2*503,1*ok")
	f.Add("normal:200ms±50ms", "reset")
	f.Add("quantiles:NaN=1s,0.5=2s", "200ms..300ms:1,ok")
	f.Add("true:", ":")
	f.Fuzz(func(t *testing.T, text, sequence string) {
		for _, list := range (&faultFlags{}).lists() {
			x := faultFlags{rate: "100%"}
			for _, into := range []struct {
				name string
				to   *[]string
			}{{"error", &x.errors}, {"latency", &x.latencies}, {"cancel", &x.cancels}, {"reset", &x.resets}, {"lost-reply", &x.lostReplies}, {"panic", &x.panics},
				{"bandwidth", &x.bandwidths}, {"truncate", &x.truncates}, {"corrupt", &x.corrupts}} {
				if into.name == list.name {
					*into.to = []string{text}
				}
			}
			if p, err := x.program("p"); err == nil && p.Validate() != nil {
				t.Errorf("--%s %q gave a program that is not valid", list.name, text)
			}
		}
		x := faultFlags{rate: "1", sequence: sequence}
		if p, err := x.program("p"); err == nil && len(p.Sequence) == 0 && sequence != "" {
			t.Errorf("--sequence %q gave %+v", sequence, p)
		}
	})
}
