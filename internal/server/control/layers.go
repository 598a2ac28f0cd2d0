package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// LayerEntry is a layer with the revision of the last change to it.
type LayerEntry struct {
	flag.Layer
	Revision int64 `json:"revision"`
}

// ListLayers gives a page of the layers, as ListFlags does of flags.
func (s *Service) ListLayers(p Page) (items []LayerEntry, next string) { return layers.list(s, p) }

// GetLayer gives a layer, or a *Error with CodeNotFound.
func (s *Service) GetLayer(key string) (LayerEntry, error) { return layers.get(s, key) }

// CreateLayer adds a layer. Errors: CodeInvalid with the places, CodeExists.
func (s *Service) CreateLayer(ctx context.Context, l flag.Layer, o WriteOptions) (LayerEntry, error) {
	return layers.create(ctx, s, l, o)
}

// PutLayer creates the layer l.Key or replaces it as a whole, as PutFlag does a flag. While a
// trial runs on one of its flags, that flag's slot and the salt stay what they are: else units
// would come into the trial and leave it. CodePrecondition names the trial.
func (s *Service) PutLayer(ctx context.Context, l flag.Layer, o WriteOptions) (LayerEntry, error) {
	return layers.put(ctx, s, l, o)
}

// DeleteLayer removes a layer, under the same condition. CodeNotFound if there is none.
func (s *Service) DeleteLayer(ctx context.Context, key string, o WriteOptions) (Change, error) {
	return layers.remove(ctx, s, key, o)
}

func (r *reach) mayPutLayer(l flag.Layer) error {
	if _, exists := r.p.layers[l.Key]; !exists && r.count(layers) > flag.MaxLayers {
		return precondition("layer %q: there are %d layers, no more are allowed: delete some first", l.Key, len(r.p.layers))
	}
	for _, slot := range l.Slots {
		if f, ok := after(r, flags, slot.Flag); ok && f.Archived {
			return precondition("layer %q: flag %q is archived: restore it first, or take it out of the layer", l.Key, slot.Flag)
		}
	}
	return nil
}

// place is where the units of a flag's trials are in the layers: what of them is in its slot, and
// what is held out.
type place struct {
	salt    string
	slot    flag.Slot
	global  string // salt of the global holdout
	holdout flag.Weight
}

func placeOf(key string, layers []flag.Layer) (at place) {
	for i := range layers {
		l := &layers[i]
		if l.Global {
			at.global, at.holdout = cmp.Or(l.Salt, l.Key), l.Holdout
		}
		for _, slot := range l.Slots {
			if slot.Flag == key {
				at.salt, at.slot = cmp.Or(l.Salt, l.Key), slot
			}
		}
	}
	return at
}

// keepsPlaces refuses to move the flags of running trials in the layers.
func (r *reach) keepsPlaces() error {
	if !slices.ContainsFunc(r.list, func(e edit) bool { return e.kind == KindLayer }) {
		return nil
	}
	next := slices.Collect(allAfter(r, layers))
	for name, entry := range r.p.trials {
		if entry.State.Ended() {
			continue
		}
		if placeOf(entry.Spec.Flag, r.before.Layers) != placeOf(entry.Spec.Flag, next) {
			return precondition("trial %q runs on flag %q, and the change of layers would bring units into it and take others out: wait for its end, or abort it", name, entry.Spec.Flag)
		}
	}
	return nil
}
