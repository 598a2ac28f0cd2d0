package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// This file writes JSON as YAML. Texts that a reader of YAML, old or new, could take for something
// else are written as JSON writes them, which is YAML, too.

// yamlOf gives a JSON document as YAML in block style, with the fields in their order.
func yamlOf(document []byte) (string, error) {
	tokens := json.NewDecoder(bytes.NewReader(document))
	tokens.UseNumber()
	v, err := inOrder(tokens)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	writeYAML(&b, v, "", "")
	return b.String(), nil
}

// object is a JSON object in the order of its fields.
type object []objectField

type objectField struct {
	name  string
	value any
}

// inOrder reads the next value; objects become an object, lists a []any.
func inOrder(tokens *json.Decoder) (any, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return token, nil
	}
	fields, items := object{}, []any{}
	for tokens.More() {
		name := ""
		if delim == '{' {
			key, err := tokens.Token()
			if err != nil {
				return nil, err
			}
			name, _ = key.(string)
		}
		value, err := inOrder(tokens)
		if err != nil {
			return nil, err
		}
		fields, items = append(fields, objectField{name, value}), append(items, value)
	}
	if delim == '[' {
		_, err = tokens.Token()
		return items, err
	}
	_, err = tokens.Token()
	return fields, err
}

// writeYAML writes a value after a key, a dash or nothing. The lines of its children begin with
// indent, but the first of them with lead.
func writeYAML(b *strings.Builder, v any, indent, lead string) {
	switch v := v.(type) {
	case object:
		for _, f := range v {
			b.WriteString(lead + yamlText(f.name) + ":")
			below := indent + "  "
			if _, list := f.value.([]any); list {
				below = indent
			}
			writeYAML(b, f.value, below, "\n"+below)
			lead = indent
		}
		if len(v) == 0 {
			b.WriteString(" {}\n")
		}
	case []any:
		for _, item := range v {
			b.WriteString(lead + "-")
			writeYAML(b, item, indent+"  ", " ")
			lead = indent
		}
		if len(v) == 0 {
			b.WriteString(" []\n")
		}
	case string:
		b.WriteString(" " + yamlText(v) + "\n")
	case nil:
		b.WriteString(" null\n")
	case json.Number:
		b.WriteString(" " + yamlNumber(v) + "\n")
	default:
		fmt.Fprintf(b, " %v\n", v)
	}
}

// yamlNumber writes whole numbers that do not fit 64 bits as what they are to JSON, floating-point:
// readers of YAML take them for texts.
func yamlNumber(n json.Number) string {
	const safe = 18 // digits that always fit
	if text := n.String(); len(strings.TrimPrefix(text, "-")) > safe && !strings.ContainsAny(text, ".eE") {
		return text + ".0"
	}
	return n.String()
}

// yamlPlain are words with single spaces between them; yamlWords are those that mean something else.
var (
	yamlPlain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./@+-]*( [A-Za-z0-9_./@+(-][A-Za-z0-9_./@+,;()-]*)*$`)
	yamlWords = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
)

// yamlText writes a text plainly if every reader takes it for one.
func yamlText(text string) string {
	if yamlPlain.MatchString(text) && !slices.Contains(yamlWords, strings.ToLower(text)) {
		return text
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be written
	// What YAML takes for the end of a line, or for no character at all.
	return strings.NewReplacer("\u0085", `\u0085`, "\ufeff", `\ufeff`, "\x7f", `\u007f`).Replace(strings.TrimSpace(b.String()))
}
