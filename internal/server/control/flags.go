package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/resilience"
)

// FlagEntry is a flag with the revision of the last change to it.
type FlagEntry struct {
	flag.Flag
	Revision int64 `json:"revision"`
}

// ListFlags gives a page of the flags, sorted by key, and the cursor of the next page, empty
// if there is none.
func (s *Service) ListFlags(p Page) (items []FlagEntry, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return page(s.state.flags, p)
}

// GetFlag gives a flag, or a *Error with CodeNotFound.
func (s *Service) GetFlag(key string) (FlagEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if entry, ok := s.state.flags[key]; ok {
		return entry, nil
	}
	return FlagEntry{}, notFound(entity{KindFlag, key})
}

// CreateFlag adds a flag. Errors: CodeInvalid with the places, CodeExists. The key of a deleted
// flag can be used again only for the same kind and type (code that still asks for the old flag
// must not meet a new meaning), else CodePrecondition.
func (s *Service) CreateFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	o.IfMatch = MatchAbsent
	return s.PutFlag(ctx, f, o)
}

// PutFlag creates the flag f.Key or replaces it as a whole; o.IfMatch restricts it to one of
// the two, or to a revision. Kind and type never change. While a trial runs on the flag its
// two variants keep their values: CodePrecondition names the trial.
func (s *Service) PutFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	e := entity{KindFlag, f.Key}
	c, err := s.commit(ctx, o, write{verb: "put flag", input: []any{f}, plan: func(p *projection) (plan, error) {
		if err := o.IfMatch.match(e, p.revision(e)); err != nil {
			return plan{}, err
		}
		if err := p.mayPutFlag(f, s.view.Set); err != nil {
			return plan{}, err
		}
		op, err := setOp(KindFlag, f.Key, f)
		return plan{ops: []Op{op}, before: p.revision(e)}, err
	}})
	if err != nil {
		return FlagEntry{}, err
	}
	stored, err := stored[flag.Flag](c, e)
	return FlagEntry{Flag: stored, Revision: c.Revision}, err
}

// stored gives the value that a change gave an entity.
func stored[T any](c Change, e entity) (value T, err error) {
	for _, op := range c.Ops {
		if op.Kind != e.kind || op.Key != e.key {
			continue
		}
		decoded, err := decodeOp(op)
		if err != nil {
			return value, &Error{Code: CodeInternal, Message: fmt.Sprintf("%s as stored cannot be read: %v", e, err), Err: err}
		}
		if value, ok := decoded.(T); ok {
			return value, nil
		}
	}
	return value, &Error{Code: CodeInternal, Message: fmt.Sprintf("revision %d does not set %s", c.Revision, e)}
}

// mayPutFlag holds everything that a flag must fulfil to be stored beside the present state.
func (p *projection) mayPutFlag(f flag.Flag, set *flag.Set) error {
	if err := validateFlag(f, *set); err != nil {
		return err
	}
	old, exists := p.flags[f.Key]
	was, reserved := reservation{old.Kind, old.Type}, exists
	if !exists {
		was, reserved = p.reserved[f.Key], p.reserved[f.Key] != reservation{}
	}
	if reserved && was != (reservation{f.Kind, f.Type}) {
		return precondition("flag %q is (or was) of kind %s and type %s: code that asks for it must not meet another meaning, so take a new key", f.Key, was.kind, was.typ)
	}
	if !exists && len(p.flags) >= flag.MaxFlags {
		return precondition("flag %q: there are %d flags, no more are allowed: delete some first", f.Key, len(p.flags))
	}
	for _, entry := range p.trials {
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

// validateFlag checks a flag with the code that evaluates it: that of the core, and for the
// variants of faults and policies that of the packages which carry them out.
func validateFlag(f flag.Flag, in flag.Set) error {
	problems := &flag.Problems{Subject: fmt.Sprintf("flag %q", f.Key)}
	problems.Merge("", f.Validate(in))
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
	return asInvalid(problems.Err())
}

// DeleteFlag removes a flag. CodeNotFound if there is none, CodePrecondition if a trial runs on
// it. Its key stays reserved, see CreateFlag.
func (s *Service) DeleteFlag(ctx context.Context, key string, o WriteOptions) (Change, error) {
	e := entity{KindFlag, key}
	return s.delete(ctx, e, o, func(p *projection) error { return p.mayDeleteFlag(key) })
}

// mayDeleteFlag refuses while a trial runs on the flag.
func (p *projection) mayDeleteFlag(key string) error {
	for name, entry := range p.trials {
		if entry.Spec.Flag == key && !entry.State.Ended() {
			return precondition("flag %q: trial %q runs on it: abort the trial first", key, name)
		}
	}
	return nil
}

// delete removes an entity if may allows it.
func (s *Service) delete(ctx context.Context, e entity, o WriteOptions, may func(*projection) error) (Change, error) {
	c, err := s.commit(ctx, o, write{verb: "delete " + string(e.kind), input: []any{e.key}, plan: func(p *projection) (plan, error) {
		before := p.revision(e)
		if before == 0 {
			return plan{}, notFound(e)
		}
		if err := o.IfMatch.match(e, before); err != nil {
			return plan{}, err
		}
		return plan{ops: []Op{{Kind: e.kind, Key: e.key}}, before: before}, may(p)
	}})
	return presentable(c), err
}
