package simulation

import (
	_ "embed"
	"encoding/json"
	"sync"
)

// referenceJSON has the figures that a study of the methods found before this package was
// written, with programs of its own and the same set-up. Its source stands in it.
//
//go:embed reference.json
var referenceJSON []byte

type referenceTables struct {
	Source string `json:"source"`
	Tables map[string]struct {
		Reps int `json:"reps"`
		Rows map[string]struct {
			Reps  int          `json:"reps"` // 0: the table's
			Cells [][2]float64 `json:"cells"`
		} `json:"rows"`
	} `json:"tables"`
}

var references = sync.OnceValue(func() referenceTables {
	var r referenceTables
	if err := json.Unmarshal(referenceJSON, &r); err != nil {
		panic("simulation: reference.json: " + err.Error()) // part of the program; a test reads it
	}
	return r
})

// Source says where the reference's figures come from.
func Source() string { return references().Source }

// reference is the cell of a table, row and column; nil if the reference does not have it.
func reference(table, key string, column int) *Reference {
	t := references().Tables[table]
	row, ok := t.Rows[key]
	if !ok || column >= len(row.Cells) {
		return nil
	}
	reps := t.Reps
	if row.Reps > 0 {
		reps = row.Reps
	}
	return &Reference{Share: row.Cells[column][0] / 100, Median: int(row.Cells[column][1]), Reps: reps}
}
