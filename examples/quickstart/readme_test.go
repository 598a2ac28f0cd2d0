package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadme holds the README's program equal to this one, which the compiler checks.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(program), "func main() {\n")
	want = "func main() {\n" + want
	_, after, found := strings.Cut(string(readme), "```go\n")
	got, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatal("README.md has no go block")
	}
	if got != want {
		t.Errorf("the program in README.md differs from examples/quickstart/main.go; write there:\n%s", want)
	}
}
