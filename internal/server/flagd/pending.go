package flagd

import "github.com/seatrial/seatrial/internal/core/eval"

func clientSide(f *eval.Flag) bool {
	c, ok := any(f).(interface{ ClientSide() bool })
	return ok && c.ClientSide()
}

func ownMetadata(f *eval.Flag) map[string]any {
	if m, ok := any(f).(interface{ Metadata() map[string]any }); ok {
		return m.Metadata()
	}
	return nil
}
