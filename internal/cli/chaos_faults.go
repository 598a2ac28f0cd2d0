package cli

import (
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/gameday"
	"github.com/spf13/cobra"
)

// faultFlags are the faults as the command line says them.
type faultFlags struct {
	errors, latencies, cancels, resets, lostReplies, panics []string
	bandwidths, truncates, corrupts                         []string
	sequence                                                string
	repeat                                                  bool
	rate                                                    string
	message                                                 string
	maxActive, maxTotal                                     int
}

// defaultRate is the share of calls that are hit.
const defaultRate = "100%"

func (x *faultFlags) withFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&x.errors, "error", nil, "`STATUS[:WEIGHT][:PHASE]`, the call fails; also a gRPC code such as UNAVAILABLE (repeatable, as all faults)")
	flags.StringArrayVar(&x.latencies, "latency", nil, "`MIN..MAX[:WEIGHT][:PHASE]`, the call takes longer; also 200ms, normal:200ms±50ms, lognormal:P50/P99, quantiles:0.5=100ms,0.99=1s")
	flags.StringArrayVar(&x.cancels, "cancel", nil, "`WEIGHT`, or [MIN..MAX][:WEIGHT], the call's context is cancelled under it; write --cancel=2")
	flags.StringArrayVar(&x.resets, "reset", nil, "`WEIGHT[:PHASE]`, the call fails as when the peer resets the connection; write --reset=2")
	flags.StringArrayVar(&x.lostReplies, "lost-reply", nil, "`WEIGHT`, the call takes effect, and its answer is lost; write --lost-reply=2")
	flags.StringArrayVar(&x.panics, "panic", nil, "`WEIGHT[:PHASE]`, the call panics, where a service allows that; write --panic=2")
	for _, name := range []string{"cancel", "reset", "lost-reply", "panic"} {
		flags.Lookup(name).NoOptDefVal = "1"
	}
	flags.StringArrayVar(&x.bandwidths, "bandwidth", nil, "`BYTES[:WEIGHT]` a second, such as 64KiB, at which request and answer pass")
	flags.StringArrayVar(&x.truncates, "truncate", nil, "`BYTES[:WEIGHT]`, such as 1KiB, after which the answer ends early")
	flags.StringArrayVar(&x.corrupts, "corrupt", nil, "`SHARE[:WEIGHT]` of the bytes, such as 1%, that are changed")
	flags.StringVar(&x.sequence, "sequence", "", `instead of these: what happens to the first, second, … call of one request, such as "2*503,1*ok"`)
	flags.BoolVar(&x.repeat, "repeat", false, "begin the sequence again after its end")
	flags.StringVar(&x.rate, "rate", defaultRate, "share of those users' calls that are hit")
	flags.StringVar(&x.message, "message", "", "message of the errors")
	flags.IntVar(&x.maxActive, "max-active", 0, "calls under a fault at a time, each service instance for itself; 0: the service's own cap")
	flags.IntVar(&x.maxTotal, "max-total", 0, "calls that are hit at all, each service instance for itself; 0: the service's own cap")
	completeWords(cmd, "error", "500", "502", "503", "504", "429", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
}

// fromFile takes the faults of an experiment's file.
func (x *faultFlags) fromFile(e *gameday.Experiment) {
	*x = faultFlags{errors: e.Error, latencies: e.Latency, cancels: e.Cancel, resets: e.Reset, lostReplies: e.LostReply, panics: e.Panic,
		bandwidths: e.Bandwidth, truncates: e.Truncate, corrupts: e.Corrupt, sequence: e.Sequence, repeat: e.Repeat,
		rate: orElse(e.Rate, defaultRate), message: e.Message, maxActive: e.MaxActive, maxTotal: e.MaxTotal}
}

// faultList is what one flag says, and how it is read.
type faultList struct {
	name  string
	texts []string
	parse func(string) (fault.Fault, error)
}

func (x *faultFlags) lists() []faultList {
	return []faultList{
		{"error", x.errors, parseErrorFault}, {"latency", x.latencies, parseLatencyFault}, {"cancel", x.cancels, parseCancelFault},
		{"reset", x.resets, parsePlainFault(fault.KindReset)}, {"lost-reply", x.lostReplies, parsePlainFault(fault.KindLostReply)},
		{"panic", x.panics, parsePlainFault(fault.KindPanic)}, {"bandwidth", x.bandwidths, parseBandwidthFault},
		{"truncate", x.truncates, parseTruncateFault}, {"corrupt", x.corrupts, parseCorruptFault},
	}
}

func (x *faultFlags) any() bool {
	n := len(x.sequence)
	for _, list := range x.lists() {
		n += len(list.texts)
	}
	return n > 0
}

// program reads the notations and checks the whole by the rules that services apply.
func (x *faultFlags) program(point string) (*fault.Program, error) {
	rate, err := parseRate(x.rate)
	if err != nil {
		return nil, fmt.Errorf("--rate: %w", err)
	}
	p := &fault.Program{Point: point, Rate: rate, MaxActive: x.maxActive, MaxTotal: x.maxTotal, Repeat: x.repeat}
	if p.Faults, err = x.list(); err != nil {
		return nil, err
	}
	switch {
	case x.sequence != "" && len(p.Faults) > 0:
		return nil, errors.New("--sequence says all that happens: leave the other faults out")
	case x.sequence == "" && x.repeat:
		return nil, errors.New("--repeat is for a --sequence, and there is none")
	case x.sequence != "":
		if p.Sequence, err = parseSequence(x.sequence); err != nil {
			return nil, fmt.Errorf("--sequence: %w", err)
		}
		for _, step := range p.Sequence {
			x.describe(step.Fault)
		}
	}
	return p, p.Validate()
}

func (x *faultFlags) list() (faults []fault.Fault, err error) {
	for _, list := range x.lists() {
		for _, text := range list.texts {
			f, err := list.parse(text)
			if err != nil {
				return nil, fmt.Errorf("--%s %s: %w", list.name, text, err)
			}
			x.describe(&f)
			faults = append(faults, f)
		}
	}
	return faults, nil
}

// describe gives an error its message.
func (x *faultFlags) describe(f *fault.Fault) {
	if f != nil && f.Kind == fault.KindError {
		f.Message = x.message
	}
}
