package control

import "time"

// ages are times of a flag, those of the changes that made it what it is.
type ages struct {
	created  time.Time
	changed  time.Time
	disabled time.Time // zero while it is enabled
}

// age keeps the times of a flag that is replaced.
func (p *projection) age(key string, old, now *FlagEntry, at time.Time) {
	if now == nil {
		delete(p.ages, key)
		return
	}
	a := p.ages[key]
	a.changed = at
	if old == nil {
		a.created = at
	}
	switch {
	case now.Enabled:
		a.disabled = time.Time{}
	case old == nil || old.Enabled:
		a.disabled = at
	}
	p.ages[key] = a
}
