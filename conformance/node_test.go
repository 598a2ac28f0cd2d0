package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// node is a program under node/ that answers each line of JSON with one.
type node struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// startNode installs what the program's lock file names into a copy of its folder, and runs the
// script there until the test ends. Without node the test is skipped.
func startNode(t *testing.T, folder, script string) *node {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			absent(t, "needs %s, to run %s/%s", tool, folder, script)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("node", folder))); err != nil {
		t.Fatal(err)
	}
	install, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	npm := exec.CommandContext(install, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		absent(t, "needs the packages of node/%s: npm ci: %v\n%s", folder, err, out)
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil || cmd.Start() != nil {
		t.Fatal("node does not start: ", errIn, errOut)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	return &node{in, lines}
}

// ask sends a request and reads the answer.
func (n *node) ask(t *testing.T, request, answer any) {
	t.Helper()
	line, err := json.Marshal(request)
	if err == nil {
		_, err = n.in.Write(append(line, '\n'))
	}
	if err != nil {
		t.Fatalf("request %.500s: %v", line, err)
	}
	if !n.out.Scan() {
		t.Fatalf("no answer to %.500s: %v", line, n.out.Err())
	}
	if err := json.Unmarshal(n.out.Bytes(), answer); err != nil {
		t.Fatalf("answer %.500s: %v", n.out.Bytes(), err)
	}
}

// absent skips the test, or fails it where everything has to be there.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
