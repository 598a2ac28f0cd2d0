package traces

import (
	"slices"
	"strconv"
	"strings"
)

// AttrFlagPrefix starts the attribute that the Seatrial SDK sets on an entry span for each
// evaluated flag: prefix + flag key = variant.
const AttrFlagPrefix = "seatrial.flag."

// Exposure says that a flag gave a variant while a span was open.
type Exposure struct {
	Flag    string `json:"flag"`
	Variant string `json:"variant"`
}

// maxExposures bounds the distinct exposures kept for one trace.
const maxExposures = 32

// Names under which OpenFeature hooks report an evaluation; the short one is from the semantic
// conventions before 1.30 (observability reference, section 2.1).
const (
	evaluationName    = "feature_flag.evaluation"
	evaluationNameOld = "feature_flag"
)

// AppendExposures appends the exposures that a span tells of to list and returns it, without
// repetitions. It understands the Seatrial attribute and what stock OpenFeature hooks emit: a
// span event, a span of that name, or plain attributes of a span, with the current and the
// former names of the variant.
func AppendExposures(list []Exposure, span *Span) []Exposure {
	for i := range span.Attributes {
		a := &span.Attributes[i]
		if flag, ok := strings.CutPrefix(a.Key, AttrFlagPrefix); ok && flag != "" && a.Value.Kind() == ValueString {
			list = appendExposure(list, Exposure{flag, a.Value.Str()})
		}
	}
	list = appendEvaluation(list, span.Attributes)
	for i := range span.Events {
		if name := span.Events[i].Name; name == evaluationName || name == evaluationNameOld {
			list = appendEvaluation(list, span.Events[i].Attributes)
		}
	}
	return list
}

func appendEvaluation(list []Exposure, attributes []Attribute) []Exposure {
	var flag, variant, former, value string
	for i := range attributes {
		a := &attributes[i]
		if !strings.HasPrefix(a.Key, "feature_flag.") {
			continue
		}
		switch a.Key {
		case "feature_flag.key":
			flag = a.Value.Str()
		case "feature_flag.result.variant":
			variant = a.Value.Str()
		case "feature_flag.variant":
			former = a.Value.Str()
		case "feature_flag.result.value":
			value = unquote(a.Value.String())
		}
	}
	for _, name := range []string{variant, former, value} {
		if flag != "" && name != "" {
			return appendExposure(list, Exposure{flag, name})
		}
	}
	return list
}

// unquote removes the JSON quotes that the Python hook puts around string values.
func unquote(text string) string {
	if len(text) < 2 || text[0] != '"' {
		return text
	}
	if plain, err := strconv.Unquote(text); err == nil {
		return plain
	}
	return text
}

func appendExposure(list []Exposure, e Exposure) []Exposure {
	if len(list) >= maxExposures || slices.Contains(list, e) {
		return list
	}
	return append(list, e)
}
