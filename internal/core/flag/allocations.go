package flag

func (v *validator) allocations(at path, allocations []Allocation) {
	for i := range allocations {
		a, at := &allocations[i], at.item("allocations", i)
		v.unique(at.to("trial"), "trial", a.Trial)
		switch f := v.findFlag(a.Flag); {
		case f == nil:
			v.add(at.to("flag"), "trial %q is on flag %q, which does not exist; end the trial before deleting its flag", a.Trial, a.Flag)
		case f.Archived:
			v.add(at.to("flag"), "trial %q is on flag %q, which is archived; end the trial before archiving its flag", a.Trial, a.Flag)
		case f.HasDefinition():
			v.add(at.to("flag"), "trial %q is on flag %q, which is a flagd definition; give the flag variants and rules to try it", a.Trial, a.Flag)
		default:
			v.variant(at.to("treatment"), f, a.Treatment)
			v.variant(at.to("control"), f, a.Control)
		}
		v.allocation(at, a)
	}
}

func (v *validator) allocation(at path, a *Allocation) {
	v.check(at.to("trial"), CheckKey(a.Trial))
	v.check(at.to("salt"), CheckKey(a.Salt))
	v.check(at.to("version"), checkText(a.Version, MaxMember))
	v.condition(at.to("audience"), a.Audience, true)
	v.count(at.to("strata"), len(a.Strata), MaxStrata, "strata")
	for i, stratum := range a.Strata {
		at := at.item("strata", i)
		v.weight(at.to("treatment"), stratum.Treatment)
		v.weight(at.to("control"), stratum.Control)
		if sum := int64(stratum.Treatment) + int64(stratum.Control); sum > TotalWeight {
			v.add(at, "treatment and control sum to %d; at most %d (100 %%) can be given away", sum, TotalWeight)
		}
		v.count(at.to("segments"), len(stratum.Segments), MaxStrata, "segments")
		for j, segment := range stratum.Segments {
			v.knownSegment(at.item("segments", j), segment)
		}
	}
	v.events(at, a.Events)
}

func (v *validator) events(at path, events []Event) {
	v.count(at.to("events"), len(events), MaxEvents, "events")
	counted := map[string]EventCount{}
	for i, e := range events {
		at := at.item("events", i)
		if e.Name == "" {
			v.add(at.to("name"), "is empty; give the name that Track is called with")
		}
		v.check(at.to("name"), checkText(e.Name, MaxMember))
		if before, twice := counted[e.Name]; twice {
			v.add(at, "event %q is counted as %s and as %s; track it under two names", e.Name, before, e.Count)
		}
		counted[e.Name] = e.Count
		switch e.Count {
		case CountUnits, CountRequests, CountValues:
		default:
			v.add(at.to("count"), "%q is none of units, requests, values", e.Count)
		}
	}
}
