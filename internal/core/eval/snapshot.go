package eval

import "slices"

// Snapshot is a compiled flag.Set. It never changes and shares no memory that the set's owner
// could write to, so any number of goroutines may evaluate while newer snapshots are swapped in.
// A nil *Snapshot is one without flags that is not ready.
type Snapshot struct {
	environment, history, hash string
	epoch, revision            int64
	byKey                      map[string]*Flag
	sorted                     []Flag // by key, in one piece of memory
	missing                    []string
	slots                      uint32
}

// Flag gives the flag with that key, or nil if there is none. It does not allocate.
func (s *Snapshot) Flag(key string) *Flag {
	if s == nil {
		return nil
	}
	return s.byKey[key]
}

// Flags gives all flags, sorted by key, in a slice of the caller's own.
func (s *Snapshot) Flags() []*Flag {
	if s == nil {
		return nil
	}
	list := make([]*Flag, len(s.sorted))
	for i := range s.sorted {
		list[i] = &s.sorted[i]
	}
	return list
}

// MissingLists gives the keys of the segments whose member lists were not there when the snapshot
// was compiled, sorted, in a slice of the caller's own. Until they are, nobody is a member by them.
func (s *Snapshot) MissingLists() []string { return slices.Clone(s.orEmpty().missing) }

// Slots is one more than the largest [Result.Slot].
func (s *Snapshot) Slots() int { return int(max(s.orEmpty().slots, 1)) }

// Environment names the flag set, for the metadata flagSetId.
func (s *Snapshot) Environment() string { return s.orEmpty().environment }

// History is that of the set: revisions of different histories must not be compared.
func (s *Snapshot) History() string { return s.orEmpty().history }

// Epoch is that of the set.
func (s *Snapshot) Epoch() int64 { return s.orEmpty().epoch }

// Revision is that of the set; 0 for a nil snapshot.
func (s *Snapshot) Revision() int64 { return s.orEmpty().revision }

// Hash is that of the set: hex SHA-256 of the change that made the revision.
func (s *Snapshot) Hash() string { return s.orEmpty().hash }

func (s *Snapshot) orEmpty() *Snapshot {
	if s == nil {
		return &Snapshot{}
	}
	return s
}

// Evaluate is Flag(key).Evaluate(c), except that a nil snapshot gives PROVIDER_NOT_READY.
func (s *Snapshot) Evaluate(key string, c *Context) Result {
	if s == nil {
		return Result{Reason: ReasonError, Error: ErrorProviderNotReady}
	}
	return s.byKey[key].Evaluate(c)
}
