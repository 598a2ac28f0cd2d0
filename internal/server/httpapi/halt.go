package httpapi

import (
	"context"
	"net/http"
	"sync"

	"github.com/seatrial/seatrial/internal/server/control"
)

// haltedEnvironment is what a halt did in one environment.
type haltedEnvironment struct {
	Environment string           `json:"environment"`
	Trials      []control.Halted `json:"trials"`
	// Error says why the environment could not be halted as a whole; what is not among Trials may
	// run on.
	Error string `json:"error,omitempty"`
}

// haltAnswer is what a halt did. Complete is true if nothing that was found runs on.
type haltAnswer struct {
	Complete     bool                `json:"complete"`
	Environments []haltedEnvironment `json:"environments"`
}

// halt stops every trial. It takes no condition and no idempotency key: it is for emergencies, and
// a repetition finds nothing left to do. A body is not needed either.
func (c *call) halt() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Reason          string `json:"reason"`
		AllEnvironments bool   `json:"allEnvironments"`
	}
	if err := c.decodeOptional("halt", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	// Whoever asked may be cut off; what he wanted is done all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), workTimeout)
	defer cancel()
	if body.AllEnvironments {
		return serverWide(func(c *call) error { return c.haltEverywhere(ctx, o) })(c)
	}
	trials, err := c.api.cfg.Service.HaltAll(ctx, o)
	if err != nil && len(trials) == 0 {
		return err
	}
	return c.answerHalt([]haltedEnvironment{halted(c.api.cfg.Environment, trials, err)})
}

// haltEverywhere halts all environments at a time: one that is stuck delays none of the others.
func (c *call) haltEverywhere(ctx context.Context, o control.WriteOptions) error {
	names := c.api.cfg.Environments.Names()
	done := make([]haltedEnvironment, len(names))
	var halting sync.WaitGroup
	for i, name := range names {
		halting.Go(func() { done[i] = c.haltOne(ctx, name, o) })
	}
	halting.Wait()
	return c.answerHalt(done)
}

func (c *call) haltOne(ctx context.Context, name string, o control.WriteOptions) haltedEnvironment {
	service, err := c.api.cfg.Environments.Service(name)
	if control.CodeOf(err) == control.CodeNotFound {
		return halted(name, nil, nil) // deleted meanwhile, which is refused while a trial runs
	}
	if err != nil {
		return halted(name, nil, err)
	}
	trials, err := service.HaltAll(ctx, o)
	return halted(name, trials, err)
}

func halted(name string, trials []control.Halted, err error) haltedEnvironment {
	e := haltedEnvironment{Environment: name, Trials: trials}
	if e.Trials == nil {
		e.Trials = []control.Halted{}
	}
	if err != nil {
		e.Error = err.Error()
	}
	return e
}

func (c *call) answerHalt(list []haltedEnvironment) error {
	a := haltAnswer{Complete: true, Environments: list}
	for _, e := range list {
		a.Complete = a.Complete && e.Error == ""
		for _, t := range e.Trials {
			a.Complete = a.Complete && t.Error == ""
		}
	}
	return c.answer(http.StatusOK, a)
}
