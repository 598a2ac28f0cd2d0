package fault

import "time"

// Kind says what a fault does to a call.
type Kind string

// The kinds of fault. Any other kind does nothing. The last three need an adapter that passes the
// bytes of the call through the fault; elsewhere they do nothing.
const (
	KindError     Kind = "error"      // the call fails, with an HTTP status and a gRPC code for adapters
	KindLatency   Kind = "latency"    // the call takes longer; phase instead: it never gets an answer
	KindCancel    Kind = "cancel"     // the context of the call is cancelled under it
	KindReset     Kind = "reset"      // the call fails as when the peer resets the connection
	KindLostReply Kind = "lost-reply" // the call takes effect, and then fails as with reset
	KindPanic     Kind = "panic"      // the call panics with an *Error; only where Caps.Kinds lists it
	KindBandwidth Kind = "bandwidth"  // the bytes of the call come and go slowly
	KindTruncate  Kind = "truncate"   // the bytes of the call end early, with io.ErrUnexpectedEOF
	KindCorrupt   Kind = "corrupt"    // some bytes of the call are other ones
)

// Phase says when a fault strikes.
type Phase string

// The phases.
const (
	// Before the call; an error then replaces the call. The empty phase means Before, and After for
	// KindLostReply.
	Before Phase = "before"
	// After the call took effect: its reply is lost or late. It finds what is not safe to repeat,
	// such as a payment that is taken twice. If the call failed on its own, that is its answer.
	After Phase = "after"
	// Instead of the call, which is never made. A latency ends with os.ErrDeadlineExceeded then, as
	// when packets vanish; for the other kinds it is the same as Before.
	Instead Phase = "instead"
)

// Limits of a [Program].
const (
	MaxFaults         = 20               // faults in one program, or steps of its sequence
	MaxWeight         = 1_000_000        // largest weight of a fault
	MaxCount          = 1_000_000        // most calls of one step
	MaxLatency        = 10 * time.Minute // longest latency that can be asked for; see also [Caps]
	MaxBytesPerSecond = 1 << 30          // fastest bandwidth
	MaxAfterBytes     = 1 << 30          // latest truncation

	maxText  = 256
	maxCalls = 1_000_000 // of maxActive and maxTotal
)

// Program is what the variant of a fault flag asks for. Programs made by [ParseProgram] are valid.
// One made in code may hold anything: what makes no sense in it does nothing. A Program must not be
// changed while a [Source] gives it out. Its JSON form is described at [ParseProgram].
type Program struct {
	// Point is the name of the point that the program is for. Other points ignore it; an empty
	// name, possible only in code, means every point.
	Point string
	// Rate is the share of the eligible calls that are hit, 0 to 1; with a Sequence, of the eligible
	// units of work. Who is eligible is decided before, by the flag.
	Rate float64
	// Faults to choose from, by weight: at most 20.
	Faults []Fault
	// Sequence says what happens to the first, the second, … call of a unit of work at the point,
	// instead of Faults: at most 20 steps. After the last step nothing happens, or with Repeat the
	// first one comes again.
	Sequence []Step
	Repeat   bool
	// MaxActive bounds how many calls may be under a fault at a time at this point; calls beyond
	// pass untouched. 0 means no bound but that of [Caps].
	MaxActive int
	// MaxTotal bounds how many calls are hit at this point of this process, counted from
	// [Point.Arm] and whichever program hits; 0 means no bound but that of [Caps].
	MaxTotal int
}

// Step is a part of a sequence.
type Step struct {
	Count int    // calls: 1 to 1 000 000; 0 means 1
	Fault *Fault // what happens to each of them; nil: nothing. Its weight is of no account
}

// Fault is one thing that can happen to a call.
type Fault struct {
	Kind Kind
	// Weight is the fault's share among those of its program: 1 to 1 000 000; 0 means 1.
	Weight int
	// Phase is when it strikes. Error, latency, reset and panic have all three phases, cancel only
	// Before, lost-reply only After. The other kinds act on the bytes while they pass.
	Phase Phase
	// Status (400 to 599), Code (a gRPC code such as "UNAVAILABLE") and Message describe a
	// [KindError] to adapters. Where one of Status and Code is missing the other decides; where
	// both are: 503 and UNAVAILABLE.
	Status  int
	Code    string
	Message string
	// Min and Max bound the length of a [KindLatency], and for [KindCancel] the time until the
	// call is cancelled; drawn evenly, both ends included. 0 ≤ Min ≤ Max ≤ [MaxLatency].
	Min, Max time.Duration
	// Distribution is drawn from instead, where there is one.
	Distribution *Distribution
	// BytesPerSecond is the speed of a [KindBandwidth], 1 to [MaxBytesPerSecond].
	BytesPerSecond int
	// AfterBytes is how many bytes a [KindTruncate] lets pass, 0 to [MaxAfterBytes].
	AfterBytes int
	// Share is how many of the bytes a [KindCorrupt] changes, above 0 up to 1.
	Share float64
}

// phase gives the phase in which the fault strikes.
func (f *Fault) phase() Phase {
	switch {
	case f.Kind == KindLostReply:
		return After
	case f.Kind == KindCancel || f.Phase != After && f.Phase != Instead:
		return Before
	default:
		return f.Phase
	}
}
