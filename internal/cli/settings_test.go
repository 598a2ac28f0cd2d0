package cli

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// TestSettingsPrecedence: flag > variable > file > default, each key by itself.
func TestSettingsPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seatrial.yaml")
	if err := os.WriteFile(file, []byte("addr: file:1\nenvironment: file\ndrainDelay: 3s\nmaxConnections: 1000000\nacceptLoss: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SEATRIAL_ADDR": "variable:1", "SEATRIAL_ENVIRONMENT": "variable", "SEATRIAL_CONFIG": file}
	a := newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, func(k string) string { return env[k] })
	cmd := newServe(a)
	if err := cmd.ParseFlags([]string{"--addr", "flag:1"}); err != nil {
		t.Fatal(err)
	}
	got, err := a.readSettings(cmd, "")
	if err != nil {
		t.Fatal(err)
	}
	if got.addr != "flag:1" || got.environment != "variable" || got.drainDelay.String() != "3s" || got.maxConnections != 1_000_000 || !got.acceptLoss || got.logFormat != "text" {
		t.Errorf("got %+v", got)
	}
}

func TestSettingsFileIsReadStrictly(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown", "envronment: x\n", `key "envronment" is unknown; did you mean "environment"?`},
		{"other notation", "drain-delay: 1s\n", `key "drain-delay" is unknown; did you mean "drainDelay"?`},
		{"nested", "addr: {host: x}\n", `key "addr" must have a plain value`},
		{"a list", "- addr\n", "must hold keys and values"},
		{"wrong value", "drainDelay: soon\n", `drainDelay: "soon": write a time such as 5s`},
		{"no YAML", "{", "neither JSON nor YAML"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, func(string) string { return "" })
			_, err := a.readSettings(newServe(a), file)
			if exitCode(err) != exitUsage || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a usage error with %q", err, test.want)
			}
		})
	}
}

func TestFourEyesOfEnvironments(t *testing.T) {
	got, err := readFourEyes("25%, production=5% dev=0%")
	if want := map[string]flag.Weight{"": 25_000, "production": 5_000, "dev": 0}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"5", "production", "=5%", "production=101%", "production=5%%"} {
		if got, err := readFourEyes(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

func TestMisspeltVariable(t *testing.T) {
	for entry, want := range map[string]string{
		"SEATRIAL_ADRR=x":   `variable SEATRIAL_ADRR is unknown; did you mean "SEATRIAL_ADDR"?`,
		"SEATRIAL_KEY=x":    "",
		"SEATRIAL_SERVER=x": "",
		"SEATRIAL_OTHERS=x": "",
		"ADRR=x":            "",
	} {
		if got := misspeltVariable([]string{entry}); got != want {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
}
