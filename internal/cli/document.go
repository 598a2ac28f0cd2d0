package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxDocument bounds what -f reads, in bytes.
const maxDocument = 16 << 20

// readDocument reads a JSON or YAML file, "-" is standard input, and gives it as JSON. A file
// named .json is JSON; everything else is read as YAML, of which JSON is a part.
func (a *app) readDocument(path string) (json.RawMessage, error) {
	data, err := a.readInput(path, maxDocument)
	if err != nil {
		return nil, err
	}
	if json.Valid(data) || strings.EqualFold(filepath.Ext(path), ".json") {
		return data, nil
	}
	converted, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s: neither JSON nor YAML: %w", shownPath(path), err)
	}
	return converted, nil
}

func (a *app) readInput(path string, limit int) ([]byte, error) {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shownPath(path), err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("%s: over %d bytes, which no definition needs", shownPath(path), limit)
	}
	return data, nil
}

func shownPath(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}
