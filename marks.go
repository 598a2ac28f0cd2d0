package seatrial

import "context"

// MarksHeader is the header of an HTTP answer, and in lower case the key of a gRPC trailer, that
// tells the caller what experiments its unit of work has met further inside; see [Marks].
const MarksHeader = "Seatrial-Marks"

// Marks gives what the answer of the unit of work in ctx should tell its caller: the chaos
// experiments that it has met so far, and which of them hit it. It is empty if there is nothing to
// tell, and if the caller did not send a decision of [Client.Carry], so that strangers at the edge
// learn nothing. Adapters send it in [MarksHeader] when the head of the answer is written, or with
// its end; [Client.Handler] does so itself.
func Marks(ctx context.Context) string {
	return ""
}

// NoteMarks tells the unit of work in ctx what the answer of a dependency said in [MarksHeader]: the
// unit of work has met the same experiments, and was hit by the same faults. Only what agrees with
// the unit's own part in an experiment that runs counts; anything else is passed over.
func NoteMarks(ctx context.Context, marks string) {
}
