package control

import (
	"context"
)

// Flags, segments and layers are definitions: people write them as a whole, and what one of them
// may be depends on the others. Their use cases are written once, here; what is allowed is in
// reach.go.

// list gives a page, sorted by key, and the cursor of the next page, empty if there is none.
func (c *collection[T, E]) list(s *Service, p Page) (items []E, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return page(c.in(s.state), p)
}

// get gives an entity, or a *Error with CodeNotFound.
func (c *collection[T, E]) get(s *Service, key string) (entry E, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	entry, ok := c.in(s.state)[key]
	if !ok {
		err = notFound(entity{c.kind, key})
	}
	return entry, err
}

// put creates an entity or replaces it as a whole, as o.IfMatch says.
func (c *collection[T, E]) put(ctx context.Context, s *Service, value T, o WriteOptions) (entry E, err error) {
	e := entity{c.kind, c.key(value)}
	change, err := s.commit(ctx, o, write{verb: "put " + string(c.kind), input: []any{value}, plan: func(p *projection) (plan, error) {
		before := p.revision(e)
		if err := o.IfMatch.match(e, before); err != nil {
			return plan{}, err
		}
		if err := p.mayReach(s.view.Set, []edit{{entity: e, value: value, placed: true}}); err != nil {
			return plan{}, err
		}
		op, err := setOp(e.kind, e.key, value)
		return plan{ops: []Op{op}, before: before}, err
	}})
	if err != nil {
		return entry, err
	}
	value, err = stored[T](change, e)
	return c.entry(value, change.Revision), err
}

// create is put for an entity that must not exist.
func (c *collection[T, E]) create(ctx context.Context, s *Service, value T, o WriteOptions) (E, error) {
	o.IfMatch = MatchAbsent
	return c.put(ctx, s, value, o)
}

// remove deletes an entity, or gives a *Error with CodeNotFound.
func (c *collection[T, E]) remove(ctx context.Context, s *Service, key string, o WriteOptions) (Change, error) {
	e := entity{c.kind, key}
	return s.delete(ctx, e, o, func(p *projection) error {
		return p.mayReach(s.view.Set, []edit{{entity: e, placed: true}})
	})
}

// delete removes an entity of any kind if may allows it.
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

// stored gives the value that a change gave an entity.
func stored[T any](c Change, e entity) (value T, err error) {
	for _, op := range c.Ops {
		if op.Kind != e.kind || op.Key != e.key {
			continue
		}
		decoded, err := decodeOp(op)
		if err != nil {
			return value, internalError("%s as stored cannot be read: %v", e, err)
		}
		if value, ok := decoded.(T); ok {
			return value, nil
		}
	}
	return value, internalError("revision %d does not set %s", c.Revision, e)
}
