package flag

import (
	"encoding/json"

	"github.com/seatrial/seatrial/internal/core/targeting"
)

// maxNesting bounds the depth of a document: a condition of MaxDepth levels takes two levels of
// JSON each (object and list), and stands a few levels down.
const maxNesting = 2*MaxDepth + 8

// maxLogic bounds the depth of a document in JsonLogic: an operator takes two levels of JSON
// (object and list), and stands a few levels down.
const maxLogic = 2*targeting.MaxDepth + 8

// The shapes of the documents. A test compares them with the struct tags, so none is forgotten.
var (
	textShape      = &shape{kind: "string"}
	textsShape     = &shape{kind: "list", item: textShape}
	boolShape      = &shape{kind: "boolean"}
	intShape       = &shape{kind: "integer"}
	logicShape     = &shape{deep: true}
	conditionShape = newConditionShape()
	variantShape   = &shape{kind: "object", fields: map[string]*shape{"name": textShape, "value": anyShape}}
	shareShape     = &shape{kind: "object", fields: map[string]*shape{"variant": textShape, "weight": intShape}}
	splitShape     = &shape{kind: "object", fields: map[string]*shape{
		"salt": textShape, "bucketBy": textShape, "weights": {kind: "list", item: shareShape},
	}}
	ruleShape = &shape{kind: "object", fields: map[string]*shape{
		"name": textShape, "when": conditionShape, "serve": textShape, "split": splitShape,
	}}
	prerequisiteShape = &shape{kind: "object", fields: map[string]*shape{"flag": textShape, "variants": textsShape}}
	overrideShape     = &shape{kind: "object", fields: map[string]*shape{"variant": textShape, "units": textsShape}}
	flagShape         = &shape{kind: "object", fields: map[string]*shape{
		"key": textShape, "kind": textShape, "type": textShape, "description": textShape,
		"owner": textShape, "tags": textsShape, "expires": textShape, "archived": boolShape,
		"clientSide": boolShape, "enabled": boolShape, "schema": anyShape,
		"variants": {kind: "list", item: variantShape}, "defaultVariant": textShape,
		"prerequisites": {kind: "list", item: prerequisiteShape},
		"overrides":     {kind: "list", item: overrideShape},
		"rules":         {kind: "list", item: ruleShape}, "definition": logicShape,
	}}
	partShape = &shape{kind: "object", fields: map[string]*shape{"digest": textShape, "bytes": intShape, "removes": boolShape}}
	listShape = &shape{kind: "object", fields: map[string]*shape{
		"hashKey": textShape, "count": intShape, "parts": {kind: "list", item: partShape},
	}}
	segmentShape = &shape{kind: "object", fields: map[string]*shape{
		"key": textShape, "description": textShape, "members": textsShape, "when": conditionShape,
		"list": listShape, "rule": logicShape,
	}}
	slotShape  = &shape{kind: "object", fields: map[string]*shape{"flag": textShape, "from": intShape, "to": intShape}}
	layerShape = &shape{kind: "object", fields: map[string]*shape{
		"key": textShape, "description": textShape, "salt": textShape,
		"slots": {kind: "list", item: slotShape}, "holdout": intShape, "global": boolShape,
	}}
)

func newConditionShape() *shape {
	condition := &shape{kind: "object"}
	several := &shape{kind: "list", item: condition}
	condition.fields = map[string]*shape{
		"all": several, "any": several, "not": condition, "segment": textShape,
		"attribute": textShape, "op": textShape, "values": {kind: "list", item: anyShape},
	}
	return condition
}

// DecodeFlag reads the JSON of one flag, strictly: unknown fields (also ones that differ in case
// only), duplicate keys, wrong kinds, more than [MaxFlagBytes] and anything after the document
// are errors. It does not say whether the flag makes sense: see [Flag.Validate]. The error is a
// *[Problems] with pointers into the document.
func DecodeFlag(data []byte) (Flag, error) {
	var f Flag
	if err := decode(data, "flag", flagShape, MaxFlagBytes, &f); err != nil {
		return Flag{}, err
	}
	return f, nil
}

// DecodeSegment reads the JSON of one segment, strictly, as [DecodeFlag] does with at most
// [MaxSegmentBytes]. The error is a *[Problems].
func DecodeSegment(data []byte) (Segment, error) {
	var s Segment
	if err := decode(data, "segment", segmentShape, MaxSegmentBytes, &s); err != nil {
		return Segment{}, err
	}
	return s, nil
}

// DecodeLayer reads the JSON of one layer, strictly, as [DecodeFlag] does. The error is a
// *[Problems].
func DecodeLayer(data []byte) (Layer, error) {
	var l Layer
	if err := decode(data, "layer", layerShape, MaxFlagBytes, &l); err != nil {
		return Layer{}, err
	}
	return l, nil
}

func decode(data []byte, subject string, want *shape, limit int, into any) error {
	problems := &Problems{Subject: subject}
	switch {
	case len(data) > limit:
		problems.Add("", "has %d bytes; at most %d are allowed, move long lists into segments", len(data), limit)
	case scan(data, want, maxNesting, problems):
		if err := json.Unmarshal(data, into); err != nil {
			problems.Add("", "cannot be read: %v", err)
		}
	}
	return problems.Err()
}
