package seatrial

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// experiment is a chaos experiment as one snapshot has it: a trial of a flag whose variants are
// fault programs. Such a flag does nothing on its own.
type experiment struct {
	flag     *eval.Flag
	ref      eval.TrialRef
	attempt  string
	variants [arms]string
	on       bool                      // else it only watches how things are without the fault
	programs map[string]*fault.Program // by variant; none for those that do nothing
	source   *flag.Flag                // what they were made from
	signer   *signer                   // nil: decisions do not travel
}

// indexFaults finds the experiments, and those at each point. A program that cannot be read does
// nothing.
func (s *snapshot) indexFaults() {
	s.points = map[string][]*experiment{}
	programs := map[string]map[string]*fault.Program{}
	for i := range s.set.Flags {
		if f := &s.set.Flags[i]; f.Kind == flag.KindFault {
			programs[f.Key] = s.readPrograms(f)
		}
	}
	if s.set.FaultsOff {
		return
	}
	for i := range s.set.Allocations {
		a := &s.set.Allocations[i]
		if of, ok := programs[a.Flag]; ok && (a.Fault || a.Secret != "") {
			s.addExperiment(a, of)
		}
	}
}

func (s *snapshot) readPrograms(f *flag.Flag) map[string]*fault.Program {
	list := map[string]*fault.Program{}
	for _, v := range f.Variants {
		program, err := fault.ParseProgram(v.Value)
		if err != nil {
			s.problems = append(s.problems, fmt.Errorf("flag %q: variant %q does nothing: %w", f.Key, v.Name, err))
		} else if program != nil {
			list[v.Name] = program
		}
	}
	return list
}

func (s *snapshot) addExperiment(a *flag.Allocation, programs map[string]*fault.Program) {
	x := &experiment{
		flag: s.flags.Flag(a.Flag), ref: eval.TrialRef{Trial: a.Trial, Flag: a.Flag, Version: a.Version, Step: a.Step, Salt: a.Salt},
		attempt: attemptOf(a.Version), variants: [arms]string{a.Treatment, a.Control}, on: a.Fault, programs: programs,
	}
	x.signer = newSigner(a.Secret, x.attempt)
	x.source = s.sourceOf(a.Flag)
	s.experiments = append(s.experiments, x)
	for _, point := range x.points() {
		s.points[point] = append(s.points[point], x)
	}
}

func (s *snapshot) sourceOf(key string) *flag.Flag {
	i := slices.IndexFunc(s.set.Flags, func(f flag.Flag) bool { return f.Key == key })
	return &s.set.Flags[i]
}

// points gives the names of the points where units meet the experiment: that of the treatment, or
// while both arms do nothing, those of all variants.
func (x *experiment) points() []string {
	if p := x.programs[x.variants[treatment]]; p != nil {
		return []string{p.Point}
	}
	names := map[string]bool{}
	for _, p := range x.programs {
		names[p.Point] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// sameFaults reports whether a point need not be disarmed to go from one list to the other: the
// same attempts of the same programs, whatever their steps.
func sameFaults(a, b []*experiment) bool {
	return slices.EqualFunc(a, b, func(a, b *experiment) bool {
		return a.attempt == b.attempt && a.on == b.on && a.variants == b.variants && reflect.DeepEqual(a.source, b.source)
	})
}

// program gives what is to be done to a call at the point for the unit in ctx: the program of the
// first experiment, by flag, that has the unit in its treatment. Since it is asked when a call
// reaches the point, this is also where units of both arms are exposed to the experiment.
func (c *Client) program(ctx context.Context, point string) (*fault.Program, fault.Assignment) {
	at := c.current.Load()
	if at == nil {
		return nil, fault.Assignment{}
	}
	where := scopeOf(ctx)
	var found *fault.Program
	var who fault.Assignment
	for _, x := range at.points[point] {
		p := c.part(ctx, where, at, x)
		if p.role == eval.RoleNone {
			continue
		}
		c.meet(ctx, where, at, x, p)
		program := x.programs[x.variants[treatment]]
		if found == nil && x.on && p.role == eval.RoleTreatment && program != nil && program.Point == point {
			found, who = program, c.assignment(where, x, p.unit, point)
		}
	}
	return found, who
}

// assignment names on whose behalf a fault is injected.
func (c *Client) assignment(where *scope, x *experiment, unit, point string) fault.Assignment {
	a := fault.Assignment{Experiment: x.ref.Trial, Seed: x.ref.Version, Variant: x.variants[treatment], Unit: unit}
	w := where.workOf(c)
	if w == nil {
		return a
	}
	a.Nth = w.reached(point)
	if w.origin.HasTraceID() {
		// The calls of a trace, one after the other, can be replayed from the trace alone.
		id := w.origin.TraceID()
		a.Call = max(binary.BigEndian.Uint64(id[8:])+w.calls.Add(1), 1)
	}
	return a
}

// renewLease lets faults go on: the control plane was heard from. The first time, it arms the
// points; what the file says is never injected on its own.
func (c *Client) renewLease() {
	if c.lease == nil {
		return
	}
	c.lease.Renew()
	if c.renewed.CompareAndSwap(false, true) {
		c.refreshPoints()
	}
}
