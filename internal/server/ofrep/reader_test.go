package ofrep

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// oracle reads a body with encoding/json.
func oracle(body string) (key string, attributes map[string]any, ok bool) {
	if strings.Trim(body, " \t\r\n") == "" {
		return "", nil, true
	}
	var top map[string]any
	if json.Unmarshal([]byte(body), &top) != nil {
		return "", nil, false
	}
	attributes, _ = top["context"].(map[string]any)
	key, _ = attributes["targetingKey"].(string)
	delete(attributes, "targetingKey")
	return key, attributes, true
}

// nesting counts the levels of a body, brackets in texts included.
func nesting(body string) (most int) {
	level := 0
	for _, c := range body {
		switch c {
		case '{', '[':
			level++
			most = max(most, level)
		case '}', ']':
			level--
		}
	}
	return most
}

func compareReaders(t *testing.T, body string) {
	t.Helper()
	var q question
	err := q.read(body)
	key, attributes, ok := oracle(body)
	if (err == nil) != ok {
		if ok && nesting(body) > maxDepth {
			return
		}
		t.Fatalf("%q: got error %v, encoding/json takes it: %v", body, err, ok)
	}
	if !ok {
		return
	}
	same := len(q.attributes) == len(attributes) && (len(attributes) == 0 || reflect.DeepEqual(q.attributes, attributes))
	if q.targetingKey != key || !same {
		t.Fatalf("%q:\n got %q %#v\nwant %q %#v", body, q.targetingKey, q.attributes, key, attributes)
	}
}

var bodies = []string{
	``, ` `, `null`, `{}`, `[]`, `5`, `"x"`, `true`, `nul`, `{`, `}`, `{"context"}`, `{"context":}`, `{"context":{}}x`, `{"a":1,}`, `{,}`,
	`{"context":{"targetingKey":"u","n":1,"f":-0.5e3,"big":12345678901234567890,"t":true,"f2":false,"z":null,"l":[1,"a",[],{}],"o":{"a":{"b":1}}}}`,
	`{"context":{"targetingKey":7}}`, `{"context":7}`, `{"context":{"a":1},"context":{"b":2}}`, `{"context":{"a":1},"context":null}`,
	`{"context":{"a":1,"a":2,"targetingKey":"x","targetingKey":null}}`, `{"Context":{"a":1}}`, `{"c\u006fntext":{"a":1}}`,
	`{"context":{"a":"\u00fc\n\"\\\/\ud83d\ude00\ud800","b":"ü","c":"` + "\xff" + `","d":"a` + "\x01" + `"}}`,
	`{"context":{"a":"\x"}}`, `{"context":{"a":"abc\"}}`, `{"context":{"` + "\xff" + `":1}}`,
	`{"context":{"a":01}}`, `{"context":{"a":-}}`, `{"context":{"a":1.}}`, `{"context":{"a":.5}}`, `{"context":{"a":1e}}`, `{"context":{"a":1e999}}`,
	`{"context":{"a":-0}}`, `{"context":{"a":0}}`, `{"context":{"a":+1}}`, `{"context":{"a":999999999999999,"b":9999999999999999}}`, `{"context":{"a":NaN}}`,
	`{"x":{"deep":[[[]]]},"context":{"a":[1,2,]}}`, "\ufeff{}", `{"context":{"a":tru}}`, `{"context" : {"a" : [ 1 , 2 ] } } `,
	strings.Repeat(`{"context":`, 20) + `1` + strings.Repeat(`}`, 20),
}

func TestReaderIsEncodingJSON(t *testing.T) {
	for _, body := range bodies {
		compareReaders(t, body)
	}
}

func TestReaderBoundsDepth(t *testing.T) {
	nested := func(n int) string {
		return `{"context":{"a":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `}}`
	}
	var q question
	if err := q.read(nested(maxDepth)); err != nil {
		t.Error(err)
	}
	if err := q.read(nested(maxDepth + 1)); err == nil || !strings.Contains(err.Error(), "32 levels") {
		t.Error(err)
	}
	if err := q.read(`{"context":` + strings.Repeat(`{"a":`, 1_000_000)); err == nil {
		t.Error("a million levels are read")
	}
}

func TestReaderForgets(t *testing.T) {
	var q question
	for _, body := range []string{`{"context":{"targetingKey":"u","a":1}}`, ``, `{"context":{"b":1}}`} {
		q.reset()
		if err := q.read(body); err != nil {
			t.Fatal(err)
		}
	}
	if q.targetingKey != "" || len(q.attributes) != 1 {
		t.Errorf("kept %q %v of another request", q.targetingKey, q.attributes)
	}
}

func FuzzReader(f *testing.F) {
	for _, body := range bodies {
		f.Add(body)
	}
	f.Fuzz(compareReaders)
}
