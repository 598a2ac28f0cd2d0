package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/freeport"
	server "github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write golden files and docs/cli-json.md anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"seatrial": func() { os.Exit(Main()) }})
}

// TestScripts runs the real command against a real server, which each script has for itself.
// Scripts know $SEATRIAL_SERVER, $SEATRIAL_TOKEN (admin), $VIEWER (a viewer's token), $SDK_KEY
// and $LINK, a one-time link.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup:         startServer,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"runs": runs, "freeport": freePort, "ready": waitReady, "post": post, "mode": mode, "exits": exits, "found": found, "seed": seed, "revision": revision, "cell": nthCell, "gzip": gzipped, "points": reportPoints, "started": waitStarted,
		},
	})
}

func startServer(env *testscript.Env) error {
	srv, err := server.Start(context.Background(), server.Config{
		Addr: "127.0.0.1:0", DataDir: sqlite.Memory, Environment: "test", Bootstrap: io.Discard,
	})
	if err != nil {
		return err
	}
	env.Defer(func() { _ = srv.Close(context.Background()) })
	for name, token := range map[string]control.NewToken{
		"SEATRIAL_TOKEN": {Name: "test", Kind: control.TokenAPI, Role: control.RoleAdmin},
		"BENS":           {Name: "ben", Kind: control.TokenAPI, Role: control.RoleEditor},
		"VIEWER":         {Name: "viewer", Kind: control.TokenAPI, Role: control.RoleViewer},
		"SDK_KEY":        {Name: "service", Kind: control.TokenSDK},
	} {
		secret, err := srv.CreateToken(context.Background(), token)
		if err != nil {
			return err
		}
		env.Setenv(name, secret)
	}
	env.Setenv("SEATRIAL_SERVER", srv.URL())
	env.Setenv("LINK", srv.LoginLink())
	env.Setenv("HOME", env.WorkDir)
	if err := os.WriteFile(filepath.Join(env.WorkDir, "viewer"), []byte(env.Getenv("VIEWER")+"\n"), 0o600); err != nil {
		return err
	}
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
	return nil
}

// freePort NAME sets a variable to a port that nobody listens on, and that nobody else is given.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	address, err := freeport.Address()
	ts.Check(err)
	_, port, err := net.SplitHostPort(address)
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// waitReady URL waits until a server that was started in the background answers.
func waitReady(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get(args[0] + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not get ready: %v", args[0], err)
		}
		time.Sleep(10 * time.Millisecond) // another process: no clock to turn
	}
}

// post PATH FILE TOKEN sends a JSON file to the server; with ! it must be refused.
func post(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest("POST", ts.Getenv("SEATRIAL_SERVER")+args[0], strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+args[2])
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if refused := resp.StatusCode >= 300; refused != neg {
		ts.Fatalf("POST %s: %s %s", args[0], resp.Status, body)
	}
}

// points NAME... reports points with traffic, as a service does that lets faults be injected there.
func reportPoints(ts *testscript.TestScript, _ bool, names []string) {
	now := time.Now()
	var points []string
	for _, name := range names {
		points = append(points, fmt.Sprintf(`{"startTimeUnixNano":"%d","timeUnixNano":"%d","asInt":"1","attributes":[
			{"key":"seatrial.fault.point","value":{"stringValue":%q}},{"key":"seatrial.fault.allowed","value":{"stringValue":"true"}}]}`,
			now.Add(-time.Second).UnixNano(), now.UnixNano(), name))
	}
	body := `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.instance.id","value":{"stringValue":"i1"}}]},
		"scopeMetrics":[{"metrics":[{"name":"seatrial.point.traffic","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[` + strings.Join(points, ",") + `]}}]}]}]}`
	ts.Check(os.WriteFile(ts.MkAbs("points.json"), []byte(body), 0o600))
	post(ts, false, []string{"/v1/metrics", "points.json", ts.Getenv("SDK_KEY")})
}

// started NAME waits until a trial that a program in the background starts runs.
func waitStarted(ts *testscript.TestScript, _ bool, args []string) {
	c, err := api.New(ts.Getenv("SEATRIAL_SERVER"), ts.Getenv("SEATRIAL_TOKEN"))
	ts.Check(err)
	for range 6000 {
		if t, err := c.Trial(context.Background(), args[0]); err == nil && !t.State.Ended() {
			return
		}
		time.Sleep(10 * time.Millisecond) // another process: no clock to turn
	}
	ts.Fatalf("%s did not start", args[0])
}

// runs seatrial ARGS runs the real command line in this process, which is faster than exec. It
// must succeed, with ! it must not.
func runs(ts *testscript.TestScript, neg bool, args []string) {
	if code := inProcess(ts, args[1:]); (code != 0) != neg {
		ts.Fatalf("exit code %d", code)
	}
}

func inProcess(ts *testscript.TestScript, args []string) int {
	return run(context.Background(), args, newApp(strings.NewReader(""), ts.Stdout(), ts.Stderr(), ts.Getenv))
}

// exits CODE [exec] seatrial ARGS runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if args[1] == "exec" {
		err := ts.Exec(args[2], args[3:]...)
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			code = failed.ExitCode()
		} else if err != nil {
			ts.Fatalf("%s: %v", args[2], err)
		}
	} else {
		code = inProcess(ts, args[2:])
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// found FILE waits for a file that a program in the background makes.
func found(ts *testscript.TestScript, _ bool, args []string) {
	for range 6000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // another process: no clock to turn
	}
	ts.Fatalf("%s did not appear", args[0])
}

// gzip FILE TO packs a file.
func gzipped(ts *testscript.TestScript, _ bool, args []string) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := io.WriteString(w, ts.ReadFile(args[0]))
	ts.Check(errors.Join(err, w.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), packed.Bytes(), 0o600))
}

// revision VARIABLE N sets a variable to the Nth revision of the JSON that the last command printed.
func revision(ts *testscript.TestScript, _ bool, args []string) {
	all := regexp.MustCompile(`(?m)^    "revision": (\d+)`).FindAllStringSubmatch(ts.ReadFile("stdout"), -1)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 1 || n > len(all) {
		ts.Fatalf("standard output has %d revisions", len(all))
	}
	ts.Setenv(args[0], all[n-1][1])
}

// cell VARIABLE FILE N sets a variable to the Nth value of a TSV file's first row.
func nthCell(ts *testscript.TestScript, _ bool, args []string) {
	row, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	cells := strings.Split(row, "\t")
	if n < 1 || n > len(cells) {
		ts.Fatalf("%q has %d values", row, len(cells))
	}
	ts.Setenv(args[0], cells[n-1])
}

// seed DIR VARIABLE makes a data folder with an admin token in it, and sets a variable to that.
func seed(ts *testscript.TestScript, _ bool, args []string) {
	srv, err := server.Start(context.Background(), server.Config{Addr: "127.0.0.1:0", DataDir: ts.MkAbs(args[0]), Bootstrap: io.Discard})
	ts.Check(err)
	secret, err := srv.CreateToken(context.Background(), control.NewToken{Name: "seed", Kind: control.TokenAPI, Role: control.RoleAdmin})
	ts.Check(errors.Join(err, srv.Close(context.Background())))
	ts.Setenv(args[1], secret)
}

// mode FILE OCTAL checks who may read a file.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	if runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// TestInterruptedExitCode: a command that a signal ends says so by its exit code.
func TestInterruptedExitCode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs, func(string) string { return "" })
	code := run(ctx, []string{"flag", "list", "--server", "http://127.0.0.1:1", "--token", "x"}, a)
	if code != exitInterrupted {
		t.Errorf("exit code %d, want %d; stderr %q", code, exitInterrupted, errs.String())
	}
}
