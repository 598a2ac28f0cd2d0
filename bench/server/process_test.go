package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/freeport"
)

// process is a server under measurement.
type process struct {
	address string
	cmd     *exec.Cmd
	stop    func()
}

// start runs cmd until the test is over, or stop is called.
func start(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &process{cmd: cmd}
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
	})
	tb.Cleanup(p.stop)
	return p
}

// memory reads a figure of /proc/PID/status, in MB (10^6 bytes): VmRSS now, VmHWM at most so far.
func (p *process) memory(tb testing.TB, name string) float64 {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		tb.Skip("needs /proc, which Linux has: ", err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name+":" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib * 1024 / 1e6
		}
	}
	tb.Fatalf("/proc has no %s", name)
	return 0
}

// cpu is the processor time that the process has used, to 10 ms.
func (p *process) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		tb.Skip("needs /proc, which Linux has: ", err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')'):])) // index 1 is field 3, the state
	user, err := strconv.Atoi(fields[12])
	if err != nil {
		tb.Fatal(err)
	}
	system, err := strconv.Atoi(fields[13])
	if err != nil {
		tb.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// folder is where the program is; TestMain removes it.
var folder string

// program builds the product as it is shipped, and gives its path.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "seatrial-bench"); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "seatrial")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./cmd/seatrial")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// serve gives the command that runs the control plane.
func serve(tb testing.TB, address, data string) *exec.Cmd {
	tb.Helper()
	path, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "--addr", address, "--data", data, "--open-evaluation", "true", "--log-level", "warn", "--quiet")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SEATRIAL_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// startServer runs the control plane on a new folder, and loads it with flags over its API.
func startServer(tb testing.TB, data string, batch api.Batch) *process {
	tb.Helper()
	cmd := serve(tb, "127.0.0.1:0", data)
	said, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p := start(tb, cmd)
	link := loginLink(tb, said)
	p.address = link.Host
	load(tb, link, batch)
	return p
}

// loginLink reads the one-time link that the first start prints.
func loginLink(tb testing.TB, said io.Reader) *url.URL {
	tb.Helper()
	lines := bufio.NewScanner(said)
	text := ""
	for lines.Scan() {
		text += lines.Text() + "\n"
		if link := strings.TrimSpace(lines.Text()); strings.HasPrefix(link, "http://") {
			u, err := url.Parse(link)
			if err != nil {
				tb.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, said) }() // for as long as it talks
			return u
		}
	}
	tb.Fatal("the server gave no link: ", text)
	return nil
}

func load(tb testing.TB, link *url.URL, batch api.Batch) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	server := "http://" + link.Host
	client, err := api.New(server, "")
	if err != nil {
		tb.Fatal(err)
	}
	session, err := client.Login(ctx, link.Query().Get("code"))
	if err != nil {
		tb.Fatal(err)
	}
	if client, err = api.New(server, session.Token); err != nil {
		tb.Fatal(err)
	}
	// An administrator who stays, so that later starts print no link.
	if _, err = client.CreateToken(ctx, api.NewToken{Name: "bench", Kind: "api", Role: "admin"}); err != nil {
		tb.Fatal(err)
	}
	for from := 0; from < len(batch.Flags); from += perBatch {
		part := api.Batch{Segments: batch.Segments, Flags: batch.Flags[from:min(from+perBatch, len(batch.Flags))]}
		if _, err := client.Apply(ctx, part, api.Write{Reason: "bench"}); err != nil {
			tb.Fatal(err)
		}
	}
}

// perBatch is how many flags one change holds.
const perBatch = 500

// freeAddress gives an address that nobody listens on.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	address, err := freeport.Address()
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

// rollouts are n flags, each for a group and 5 % of all others.
func rollouts(n int) (b api.Batch) {
	b.Segments = []flag.Segment{{Key: "testers", When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: raw(`"beta-testers"`, `"internal-users"`)}}}
	for i := range n {
		values := raw("true", "false")
		b.Flags = append(b.Flags, flag.Flag{
			Key: fmt.Sprintf("flag-%04d", i), Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
			Variants: []flag.Variant{{Name: "on", Value: values[0]}, {Name: "off", Value: values[1]}},
			Rules: []flag.Rule{
				{When: &flag.Condition{Segment: "testers"}, Serve: "on"},
				{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight / 20}}}},
			},
		})
	}
	return b
}
