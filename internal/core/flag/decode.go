package flag

// DecodeFlag reads one flag, strictly; the error is a *[Problems].
func DecodeFlag(data []byte) (Flag, error) { return Flag{}, nil }

// DecodeSegment reads one segment, strictly; the error is a *[Problems].
func DecodeSegment(data []byte) (Segment, error) { return Segment{}, nil }
