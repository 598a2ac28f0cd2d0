package flag

// Set is the whole state of one environment as an evaluator sees it, at one revision. It is
// also the wire form of a full snapshot between control plane and SDK.
//
// Flags, Segments, Layers and Allocations are sorted by key (Allocations by flag, then trial), so that
// equal states have equal bytes.
type Set struct {
	// Environment names the flag set; it travels as metadata flagSetId.
	Environment string `json:"environment"`
	// History is new whenever the log was created or restored: revisions of different
	// histories must not be compared.
	History  string `json:"history"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"` // hex SHA-256 of the change that made this revision

	// FaultsOff is the lever of the environment: while it is true, no client injects any fault, and
	// those that hold a call let it go. It says nothing of flags of other kinds.
	FaultsOff bool `json:"faultsOff,omitempty"`

	Flags       []Flag       `json:"flags"`
	Segments    []Segment    `json:"segments"`
	Layers      []Layer      `json:"layers,omitempty"`
	Allocations []Allocation `json:"allocations"`
}

// Delta moves a Set from revision Parent to Revision, atomically. Absent lists change nothing.
type Delta struct {
	History  string `json:"history"`
	Epoch    int64  `json:"epoch"`
	Parent   int64  `json:"parent"`
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"`

	// FaultsOff, if not nil, is what [Set.FaultsOff] is from now on.
	FaultsOff *bool `json:"faultsOff,omitempty"`

	Flags           []Flag       `json:"flags,omitempty"`
	DeletedFlags    []string     `json:"deletedFlags,omitempty"`
	Segments        []Segment    `json:"segments,omitempty"`
	DeletedSegments []string     `json:"deletedSegments,omitempty"`
	Layers          []Layer      `json:"layers,omitempty"`
	DeletedLayers   []string     `json:"deletedLayers,omitempty"`
	Allocations     []Allocation `json:"allocations,omitempty"` // replace those of the same trial
	EndedTrials     []string     `json:"endedTrials,omitempty"` // drop these trials' allocations
}

// Empty reports whether the delta changes nothing that an evaluator can see: the change behind it
// was of a token, or of a trial that moved no share.
func (d *Delta) Empty() bool {
	return d.FaultsOff == nil && len(d.Flags)+len(d.DeletedFlags)+len(d.Segments)+len(d.DeletedSegments)+
		len(d.Layers)+len(d.DeletedLayers)+len(d.Allocations)+len(d.EndedTrials) == 0
}
