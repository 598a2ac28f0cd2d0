package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// This file reads a table of counts: a row an interval, a header, columns in any order.

// The columns that a table of counts must have. Others are carried through.
var countColumns = []string{"controlExposures", "controlBad", "treatmentExposures", "treatmentBad"}

// Limits of a table of counts.
const (
	maxCountBytes   = 32 << 20
	maxCountRows    = 200_000
	maxCountColumns = 64
	// maxCount keeps sums of all rows far from the end of what a float64 counts exactly.
	maxCount = 1_000_000_000_000
)

// countTable is a table as it was read.
type countTable struct {
	extra []string // names of the columns that are carried through
	rows  []countRow
}

type countRow struct {
	counts evidence.Counts
	extra  []string // by countTable.extra
}

// parseCounts reads a table of counts as CSV (RFC 4180). Its errors begin with the line and the
// column, both from 1.
func parseCounts(data []byte) (countTable, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))) // spreadsheets write a byte order mark
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	header, err := r.Read()
	if err == io.EOF {
		return countTable{}, fmt.Errorf("1:1: the table is empty: begin it with the line %q", strings.Join(countColumns, ","))
	}
	if err != nil {
		return countTable{}, csvError(err)
	}
	places, t, err := headerOf(r, header)
	if err != nil {
		return t, err
	}
	for {
		record, err := r.Read()
		switch {
		case err == io.EOF:
			return t, nil
		case err != nil:
			return t, csvError(err)
		case len(t.rows) == maxCountRows:
			line, _ := r.FieldPos(0)
			return t, fmt.Errorf("%d:1: over %d rows: add up neighbouring intervals first", line, maxCountRows)
		}
		row, err := rowOf(r, record, places)
		if err != nil {
			return t, err
		}
		t.rows = append(t.rows, row)
	}
}

// headerOf finds the columns by their names. places[i] says what the i-th column is: an index
// into countColumns, or -1 for one that is carried through.
func headerOf(r *csv.Reader, header []string) (places []int, t countTable, err error) {
	if len(header) > maxCountColumns {
		return nil, t, fmt.Errorf("1:1: %d columns: at most %d are allowed", len(header), maxCountColumns)
	}
	seen := map[string]bool{}
	for i, name := range header {
		name = strings.Clone(strings.TrimSpace(name))
		line, column := r.FieldPos(i)
		if seen[name] {
			return nil, t, fmt.Errorf("%d:%d: the column %q is there twice: remove one", line, column, name)
		}
		seen[name] = true
		place := slices.IndexFunc(countColumns, func(known string) bool { return strings.EqualFold(known, name) })
		if place >= 0 {
			seen[countColumns[place]] = true
		} else {
			t.extra = append(t.extra, name)
		}
		places = append(places, place)
	}
	for _, name := range countColumns {
		if !seen[name] {
			return nil, t, fmt.Errorf("1:1: the column %s is missing: the header needs %s%s", name, strings.Join(countColumns, ","), nearest(name, t.extra))
		}
	}
	return places, t, nil
}

// nearest says which of the names that nobody knows was probably meant to be name.
func nearest(name string, unknown []string) string {
	hint := flag.Suggest(name, slices.Values(unknown))
	if i := strings.IndexByte(hint, '"'); i >= 0 {
		return "; is it " + strings.TrimSuffix(hint[i:], "?") + "?"
	}
	return ""
}

func rowOf(r *csv.Reader, record []string, places []int) (countRow, error) {
	var (
		row    countRow
		values [4]uint64
		line   int
		column [4]int
	)
	for i, text := range record {
		place := places[i]
		if place < 0 {
			row.extra = append(row.extra, strings.Clone(text))
			continue
		}
		var err error
		line, column[place] = r.FieldPos(i)
		if values[place], err = countOf(text); err != nil {
			return row, fmt.Errorf("%d:%d: %s: %w", line, column[place], countColumns[place], err)
		}
	}
	for bad := 1; bad < 4; bad += 2 {
		if values[bad] > values[bad-1] {
			return row, fmt.Errorf("%d:%d: %s is %d of %d exposures: count each exposure at most once as bad", line, column[bad], countColumns[bad], values[bad], values[bad-1])
		}
	}
	row.counts = evidence.Counts{Y: values[1], Mb: values[0], X: values[3], Mc: values[2]}
	return row, nil
}

func countOf(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > maxCount:
		return 0, fmt.Errorf("%s is over %d: split the interval", text, maxCount)
	case err != nil:
		return 0, fmt.Errorf("%q is no count: write a whole number such as 300, counts of this interval alone", text)
	}
	return n, nil
}

// csvError gives the place of an error of the CSV reader in the form of all others.
func csvError(err error) error {
	var wrong *csv.ParseError
	if !errors.As(err, &wrong) {
		return err
	}
	if errors.Is(err, csv.ErrFieldCount) {
		return fmt.Errorf("%d:%d: this row has another number of columns than the header: write a value for every column", wrong.Line, wrong.Column)
	}
	return fmt.Errorf("%d:%d: %w: write plain CSV, commas between values", wrong.Line, wrong.Column, wrong.Err)
}
