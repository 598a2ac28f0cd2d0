package members

import "slices"

// Collector turns targeting keys into parts. Whatever comes, it holds 8 bytes for each key (a
// repeated one counts again if it comes much later) and 8 MiB. It is not safe for concurrent use.
type Collector struct {
	key    Key
	hashes []uint64 // not yet in a part
	edits  []Edit
}

// NewCollector gives a collector for a list with that key.
func NewCollector(key Key) *Collector { return &Collector{key: key} }

// Add takes one targeting key in.
func (c *Collector) Add(targetingKey string) {
	if len(c.hashes) == MaxPart {
		c.cut()
	}
	c.hashes = append(c.hashes, c.key.Hash(targetingKey))
}

// cut makes a part of what is there.
func (c *Collector) cut() {
	slices.Sort(c.hashes)
	c.edits = append(c.edits, Edit{Part: newPart(slices.Compact(c.hashes))})
	c.hashes = c.hashes[:0]
}

// Edits gives what was collected: parts that add, which may overlap. Nothing must be added after.
func (c *Collector) Edits() []Edit {
	if len(c.hashes) > 0 {
		c.cut()
	}
	c.hashes = nil
	return c.edits
}
