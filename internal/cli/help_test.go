package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands gives every command that does something, by its path without "seatrial".
func commands(c *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() {
			list = append(list, commands(sub)...)
		} else {
			list = append(list, sub)
		}
	}
	return list
}

func pathOf(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), "seatrial ") }

func quietApp(out *bytes.Buffer) *app {
	return newApp(strings.NewReader(""), out, out, func(string) string { return "" })
}

// TestEveryCommandHasHelp: a short line, and an example that is a command of its own kind with
// flags that exist.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range commands(newRoot(quietApp(&bytes.Buffer{}))) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q: one line without a full stop", pathOf(c), c.Short)
		}
		if !strings.Contains(c.Example, "seatrial "+pathOf(c)) {
			t.Errorf("%s: no example of it in %q", pathOf(c), c.Example)
		}
		for _, word := range strings.Fields(c.Example) {
			name, isFlag := strings.CutPrefix(word, "--")
			name, _, _ = strings.Cut(name, "=")
			if isFlag && c.Flag(name) == nil && c.InheritedFlags().Lookup(name) == nil {
				t.Errorf("%s: the example uses --%s, which does not exist", pathOf(c), name)
			}
		}
	}
}

// TestHelpGolden keeps the help of all commands in one file, where a change is seen.
func TestHelpGolden(t *testing.T) {
	var out bytes.Buffer
	a := quietApp(&out)
	root := newRoot(a)
	for _, args := range append([][]string{{}}, paths(root)...) {
		out.WriteString("$ seatrial " + strings.Join(append(args, "--help"), " ") + "\n")
		if code := run(t.Context(), append(args, "--help"), a); code != 0 {
			t.Fatalf("seatrial %v --help: exit code %d", args, code)
		}
		out.WriteString("\n")
	}
	golden(t, filepath.Join("testdata", "help.txt"), out.String())
}

// paths gives the words of every command, nouns before their verbs.
func paths(c *cobra.Command) [][]string {
	var list [][]string
	for _, sub := range c.Commands() {
		list = append(list, strings.Fields(pathOf(sub)))
		list = append(list, paths(sub)...)
	}
	return list
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: make it with -update", err)
	}
	if got == string(want) {
		return
	}
	for _, l := range diffLines(strings.Split(string(want), "\n"), strings.Split(got, "\n")) {
		if l.Op != " " {
			t.Errorf("%s: %s %s", path, l.Op, l.Line)
		}
	}
	t.Errorf("%s is different: look at it and run the test with -update", path)
}
