package httpapi

import (
	"net/http"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// targetingKey is the attribute that names the unit.
const targetingKey = "targetingKey"

// evaluation says what a unit gets, and why.
type evaluation struct {
	Flag string `json:"flag"`
	// Value is null where the code's own default holds.
	Value       any                `json:"value"`
	Variant     string             `json:"variant"`
	Reason      eval.Reason        `json:"reason"`
	ErrorCode   eval.ErrorCode     `json:"errorCode,omitempty"`
	Trial       string             `json:"trial,omitempty"`
	Role        string             `json:"role,omitempty"`
	Explanation []eval.ExplainStep `json:"explanation"`
}

// evaluate tells what a context would get of a flag. It counts as no exposure.
func (c *call) evaluate() error {
	var body struct {
		Flag    string         `json:"flag"`
		Context map[string]any `json:"context"`
	}
	if err := c.decode("evaluate", &body); err != nil {
		return err
	}
	if body.Flag == "" {
		return invalidAt("/flag", "is missing: name the flag to evaluate")
	}
	who := eval.Context{Attributes: body.Context}
	if key, given := body.Context[targetingKey]; given {
		text, ok := key.(string)
		if !ok {
			return invalidAt("/context/targetingKey", "must be a string")
		}
		who.TargetingKey = text
	}
	flags, err := c.api.cfg.Service.Snapshot().Compiled()
	if err != nil {
		return err
	}
	e := flags.Flag(body.Flag).Explain(&who)
	shown := evaluation{Flag: body.Flag, Value: e.Result.Value, Variant: e.Result.Variant,
		Reason: e.Result.Reason, ErrorCode: e.Result.Error, Explanation: e.Steps}
	if e.Result.Trial != nil {
		shown.Trial, shown.Role = e.Result.Trial.Trial, e.Result.Role.String()
	}
	return c.answer(http.StatusOK, shown)
}
