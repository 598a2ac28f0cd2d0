package targeting

import "testing"

// betaOrFew is the measure: a group gets the treatment, of all others five per cent.
const betaOrFew = `{"if": [{"in": [{"var": "group"}, ["beta-testers", "internal-users"]]}, "on",
	{"fractional": [{"cat": ["new-checkout:", {"var": "targetingKey"}]}, ["on", 5000], ["off", 95000]]}]}`

func definition(tb testing.TB, targeting string) *Definition {
	tb.Helper()
	d, err := ParseDefinition([]byte(`{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": `+targeting+`}`), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

var benchmarks = map[string]string{
	"beta or few": betaOrFew,
	"shorthand":   `{"fractional": [["on", 5], ["off", 95]]}`,
	"flag key":    `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["on", 5], ["off", 95]]}`,
	"nested":      `{"if": [{"and": [{"==": [{"var": "user.plan"}, "pro"]}, {">=": [{"var": "user.age"}, 18]}]}, "on", null]}`,
	"version":     `{"if": [{"sem_ver": [{"var": "version"}, ">=", "2.1.0"]}, "on", "off"]}`,
	"suffix":      `{"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on", "off"]}`,
	"any group":   `{"if": [{"some": [{"var": "groups"}, {"in": [{"var": ""}, ["x", "staff"]]}]}, "on", "off"]}`,
	"long list":   `{"if": [{"in": [{"var": "targetingKey"}, ["a","b","c","d","e","f","g","h","i","j","k","l","user-17"]]}, "on", "off"]}`,
}

var benchInput = Input{FlagKey: "new-checkout", TargetingKey: "user-17", Time: 1, Attributes: map[string]any{
	"group": "customers", "email": "jane@example.com", "version": "2.3.0", "groups": []string{"customers", "staff"},
	"user": map[string]any{"plan": "pro", "age": 33},
}}

func BenchmarkDecide(b *testing.B) {
	for name, rule := range benchmarks {
		d := definition(b, rule)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := d.Decide(&benchInput); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is decided often does not allocate.
func TestDecideDoesNotAllocate(t *testing.T) {
	for name, rule := range benchmarks {
		d := definition(t, rule)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = d.Decide(&benchInput) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
