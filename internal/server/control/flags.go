package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/definition"
	"github.com/seatrial/seatrial/resilience"
)

// FlagEntry is a flag with the revision of the last change to it.
type FlagEntry struct {
	flag.Flag
	Revision int64 `json:"revision"`
}

// ListFlags gives a page of the flags, sorted by key, and the cursor of the next page, empty
// if there is none.
func (s *Service) ListFlags(p Page) (items []FlagEntry, next string) { return flags.list(s, p) }

// GetFlag gives a flag, or a *Error with CodeNotFound.
func (s *Service) GetFlag(key string) (FlagEntry, error) { return flags.get(s, key) }

// CreateFlag adds a flag. Errors: CodeInvalid with the places, CodeExists. The key of a deleted
// flag can be used again only for the same kind and type (code that still asks for the old flag
// must not meet a new meaning), else CodePrecondition.
func (s *Service) CreateFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	return flags.create(ctx, s, f, o)
}

// PutFlag creates the flag f.Key or replaces it as a whole; o.IfMatch restricts it to one of
// the two, or to a revision. Kind and type never change. While a trial runs on the flag its
// two variants keep their values. An archived flag can only be restored (archived: false), and
// only a flag that no trial, flag or layer uses can be archived. CodeInvalid and CodePrecondition
// name what is in the way.
func (s *Service) PutFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	return flags.put(ctx, s, f, o)
}

// DeleteFlag removes a flag. CodeNotFound if there is none, CodePrecondition naming the trials,
// flags, layers and schedules that use it. Its key stays reserved, see CreateFlag.
func (s *Service) DeleteFlag(ctx context.Context, key string, o WriteOptions) (Change, error) {
	return flags.remove(ctx, s, key, o)
}

// reservation is what the key of a flag, also of a deleted one, may be used for.
type reservation struct {
	kind flag.Kind
	typ  flag.Type
}

// reserve keeps the keys of deleted flags.
func (p *projection) reserve(key string, old, now *FlagEntry) {
	delete(p.reserved, key)
	if now == nil && old != nil {
		p.reserved[key] = reservation{old.Kind, old.Type}
	}
}

// mayPutFlag holds what a flag must fulfil to be stored beside what Validate asks of it.
func (r *reach) mayPutFlag(f flag.Flag) error {
	old, exists := r.p.flags[f.Key]
	was, reserved := r.p.reserved[f.Key]
	if exists {
		was, reserved = reservation{old.Kind, old.Type}, true
	}
	switch {
	case reserved && was != reservation{f.Kind, f.Type}:
		return precondition("flag %q is (or was) of kind %s and type %s: code that asks for it must not meet another meaning, so take a new key", f.Key, was.kind, was.typ)
	case !exists && r.count(flags) > flag.MaxFlags:
		return precondition("flag %q: there are %d flags, no more are allowed: delete some first", f.Key, len(r.p.flags))
	case exists && old.Archived && f.Archived && !sameJSON(old.Flag, f):
		return precondition("flag %q is archived, so nothing of it can be changed: restore it (archived: false), or delete it", f.Key)
	}
	if f.Archived {
		if err := usedBy(entity{KindFlag, f.Key}, r.layersOf(f.Key)); err != nil {
			return err
		}
	}
	for _, entry := range r.p.trials {
		if entry.Spec.Flag != f.Key || entry.State.Ended() {
			continue
		}
		if err := fitsTrial(f, old.Flag, entry.Trial); err != nil {
			return err
		}
	}
	return nil
}

// fitsTrial tells whether a flag may become f while a trial runs on it.
func fitsTrial(f, old flag.Flag, t Trial) error {
	for _, variant := range []string{t.Spec.Treatment, t.Spec.Control} {
		if !bytes.Equal(valueOf(f, variant), valueOf(old, variant)) {
			return precondition("flag %q: trial %q compares variant %q, so it keeps its value until the trial has ended: abort the trial, or add another variant", f.Key, t.Spec.Name, variant)
		}
	}
	if end := promoted(f, t.Spec, true); len(end.Rules) > flag.MaxRules {
		return precondition("flag %q: the promotion of trial %q would need a rule more, and there are %d: leave one free", f.Key, t.Spec.Name, len(f.Rules))
	}
	return nil
}

// valueOf gives a variant's value in compact form, nil if there is no such variant.
func valueOf(f flag.Flag, variant string) []byte {
	for _, v := range f.Variants {
		if v.Name != variant {
			continue
		}
		var b bytes.Buffer
		if json.Compact(&b, v.Value) != nil {
			return v.Value
		}
		return b.Bytes()
	}
	return nil
}

// checkValues checks the values of a flag's variants beyond their type: by the flag's schema, and
// faults and policies with the code that carries them out. No rule serves a fault.
func checkValues(f flag.Flag) error {
	problems := &flag.Problems{Subject: fmt.Sprintf("flag %q", f.Key)}
	problems.Merge("", definition.CheckSchema(f))
	for i, v := range f.Variants {
		at := flag.Pointer("/variants", i, "value")
		switch f.Kind {
		case flag.KindFault:
			_, err := fault.ParseProgram(v.Value)
			problems.Merge(at, err)
		case flag.KindPolicy:
			_, err := resilience.ParsePolicy(v.Value)
			problems.Merge(at, err)
		}
	}
	checkServes(f, problems)
	return problems.Err()
}
