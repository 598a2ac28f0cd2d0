package seatrial

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// faultFlag is a flag whose variants are fault programs, compiled.
type faultFlag struct {
	flag     *eval.Flag
	programs map[string]*fault.Program // by variant; none for those that do nothing
	source   *flag.Flag                // what it was made from
	trials   []string                  // attempts that run on it
}

// indexFaults finds the fault flags for each point. A program that cannot be read does nothing.
func (s *snapshot) indexFaults() {
	s.points = map[string][]faultFlag{}
	trials := map[string][]string{}
	for i := range s.set.Allocations {
		a := &s.set.Allocations[i]
		trials[a.Flag] = append(trials[a.Flag], attemptOf(a.Version))
	}
	for i := range s.set.Flags {
		from := &s.set.Flags[i]
		if from.Kind != flag.KindFault {
			continue
		}
		f := faultFlag{flag: s.flags.Flag(from.Key), programs: map[string]*fault.Program{}, source: from, trials: trials[from.Key]}
		points := map[string]bool{}
		for _, v := range from.Variants {
			program, err := fault.ParseProgram(v.Value)
			if err != nil {
				s.problems = append(s.problems, fmt.Errorf("flag %q: variant %q does nothing: %w", from.Key, v.Name, err))
			} else if program != nil {
				f.programs[v.Name] = program
				points[program.Point] = true
			}
		}
		for point := range points {
			s.points[point] = append(s.points[point], f)
		}
	}
}

// sameFaults reports whether a point need not be disarmed to go from one list to the other: same
// flags, and the same trials on them, whatever their steps.
func sameFaults(a, b []faultFlag) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !reflect.DeepEqual(a[i].source, b[i].source) || !reflect.DeepEqual(a[i].trials, b[i].trials) {
			return false
		}
	}
	return true
}

// program is the fault.Source of the dependency's point: it gives the program of the first fault
// flag, by key, that has one for the unit in ctx. Since it is asked when a call reaches the point,
// this is also where units of both arms are exposed to a trial of faults.
func (d *Dependency) program(ctx context.Context) (*fault.Program, fault.Assignment) {
	at := d.client.current.Load()
	if at == nil {
		return nil, fault.Assignment{}
	}
	where := scopeOf(ctx)
	var found *fault.Program
	var by eval.Result
	var of *faultFlag
	flags := at.points[d.name]
	for i := range flags {
		var result eval.Result
		evaluateFor(flags[i].flag, where.core(), &result)
		at.seen.note(&result)
		if result.Role != eval.RoleNone {
			d.client.expose(ctx, where, at, &result)
		}
		p := flags[i].programs[result.Variant]
		if found == nil && p != nil && p.Point == d.name {
			found, by, of = p, result, &flags[i]
		}
	}
	if found == nil {
		return nil, fault.Assignment{}
	}
	return found, assignment(where, of.flag.Key(), &by)
}

// assignment names on whose behalf a fault is injected.
func assignment(where *scope, key string, r *eval.Result) fault.Assignment {
	a := fault.Assignment{Experiment: key, Variant: r.Variant}
	if r.Role != eval.RoleNone {
		a.Experiment, a.Seed = r.Trial.Trial, r.Trial.Version
	}
	if where == nil {
		return a
	}
	a.Unit = where.evaluation.TargetingKey
	if w := where.work; w != nil && w.origin.HasTraceID() {
		// The calls of a trace, one after the other, can be replayed from the trace alone.
		id := w.origin.TraceID()
		a.Call = max(binary.BigEndian.Uint64(id[8:])+w.calls.Add(1), 1)
	}
	return a
}

// faultsLive reports whether faults may be injected now.
func (c *Client) faultsLive() bool { return c.lease != nil && c.renewed.Load() && c.lease.Live() }

// renewLease lets faults go on: the control plane was heard from. The first time, it arms the
// points; what the file says is never injected on its own.
func (c *Client) renewLease() {
	if c.lease == nil {
		return
	}
	c.lease.Renew()
	if c.renewed.CompareAndSwap(false, true) {
		c.refreshDependencies()
	}
}
