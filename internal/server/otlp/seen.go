package otlp

import "github.com/seatrial/seatrial/internal/core/outcome"

const (
	reasonSeenShape = "seatrial.flag.evaluations.seen must be a monotonic sum of delta temporality"
	reasonSeenFlag  = "seatrial.flag.evaluations.seen needs the attribute feature_flag.key"
)

// sighting says that a flag was evaluated, and gave a variant; empty for the code's default.
type sighting struct{ flag, variant string }

// seenFault says why no sighting of the metric can be taken, "" if they can. Which process it comes
// from does not matter: a sighting may be told twice.
func (m *metric) seenFault() string {
	if !m.sum || !m.monotonic || m.temporality != deltaTemporality {
		return reasonSeenShape
	}
	return ""
}

// seen adds a sighting, or counts it as rejected. Its attributes are in b.attrs. A value of 0 says
// that there was none.
func (b *pointBuilder) seen(raw *rawPoint) {
	var s sighting
	for i := range b.attrs {
		switch b.attrs[i].Key {
		case outcome.AttrSeenFlag:
			s.flag = b.attrs[i].Value.Str()
		case outcome.AttrSeenVariant:
			s.variant = b.attrs[i].Value.Str()
		}
	}
	switch {
	case b.exhausted:
		b.reject(1, reasonTooLarge)
	case b.dropped > 0:
		b.reject(1, reasonPoint)
	case s.flag == "":
		b.reject(1, reasonSeenFlag)
	case raw.value > 0:
		b.sightings = append(b.sightings, s)
	default:
		b.ignored++
	}
}
