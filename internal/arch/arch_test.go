package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/seatrial/seatrial"

type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	Standard   bool
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// rel gives the path inside the module; "" is the root package.
func (p pkg) rel() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// packages gives every package of the module; it asks the go command once.
func packages(t *testing.T) []pkg {
	t.Helper()
	list, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var listed = sync.OnceValues(func() (list []pkg, err error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("go list: %w\n%s", err, exit.Stderr)
		}
		return nil, err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
})

func inside(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func std(path string) bool { return !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") }

// coreStd is the part of the standard library that the core may use: values in, values out.
var coreStd = []string{
	"bytes", "cmp", "crypto/sha256", "encoding", "encoding/binary", "encoding/hex", "encoding/json",
	"errors", "fmt", "hash", "io", "iter", "maps", "math", "math/big", "math/bits", "net/netip", "reflect",
	"regexp", "regexp/syntax", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf16", "unicode/utf8", "unique",
}

func TestCoreIsPure(t *testing.T) {
	for _, p := range packages(t) {
		if !inside(p.rel(), "internal/core") {
			continue
		}
		for _, imp := range p.Imports {
			if !inside(imp, module+"/internal/core") && !slices.Contains(coreStd, imp) {
				t.Errorf("%s imports %s: the core takes values and gives values, so it may use only %v and itself", p.rel(), imp, coreStd)
			}
			if p.rel() == "internal/core/evidence" && inside(imp, module) {
				t.Errorf("evidence imports %s: it knows no words of the domain, so that it can be published on its own", imp)
			}
		}
		for _, file := range p.GoFiles {
			checkPureFile(t, filepath.Join(p.Dir, file), p.rel()+"/"+file)
		}
	}
}

func checkPureFile(t *testing.T, path, name string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
			t.Errorf("%s: the core starts no goroutines and knows no channels", name)
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: the core has no init functions", name)
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "Tick"}, n.Sel.Name) {
				t.Errorf("%s: uses time.%s; the core is given the time", name, n.Sel.Name)
			}
		}
		return true
	})
}

// public packages are what users import; each may use the OTel API and its one technology.
var public = map[string][]string{
	"":             nil,
	"fault":        nil,
	"resilience":   nil,
	"seatrialhttp": nil,
	"seatrialgrpc": {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"seatrialsql":  nil,
	"seatrialnet":  nil,
	"ofprovider":   {"github.com/open-feature/go-sdk"},
}

// shared are packages that no user imports by name but that come with the public ones, and so are
// held to the same rules.
var shared = []string{"internal/tracing", "internal/messages", "internal/hop"}

var otelAPI = []string{
	"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/baggage",
	"go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/propagation",
	"go.opentelemetry.io/otel/semconv", "go.opentelemetry.io/otel/trace",
}

// notForUsers are the folders whose packages nobody outside imports.
var notForUsers = []string{"internal", "cmd", "examples"}

func TestEveryPublicPackageIsMeant(t *testing.T) {
	for _, p := range packages(t) {
		private := slices.ContainsFunc(notForUsers, func(dir string) bool { return inside(p.rel(), dir) })
		if !private && !hasKey(public, p.rel()) {
			t.Errorf("%s could be imported by everybody: what is public is promised, so name it in the table or put it under internal", p.rel())
		}
	}
}

// userAdapters bring one technology each to the client.
var userAdapters = []string{"seatrialhttp", "seatrialgrpc", "seatrialsql", "seatrialnet", "ofprovider"}

func TestUserAdaptersDoNotKnowEachOther(t *testing.T) {
	for _, p := range packages(t) {
		for _, adapter := range userAdapters {
			dep := module + "/" + adapter
			if p.rel() != adapter && hasKey(public, p.rel()) && slices.Contains(p.Deps, dep) {
				t.Errorf("%q depends on %s: who uses one technology must not get the other", p.rel(), adapter)
			}
		}
	}
}

func TestPublicPackagesAreLight(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		own, isPublic := public[p.rel()]
		if !isPublic && !slices.Contains(shared, p.rel()) {
			continue
		}
		seen[p.rel()] = true
		for _, imp := range p.Imports {
			name, ours := strings.CutPrefix(imp, module)
			name = strings.TrimPrefix(name, "/")
			allowed := std(imp) || slices.Contains(otelAPI, imp) ||
				ours && (inside(name, "internal/core") || hasKey(public, name) || slices.Contains(shared, name)) ||
				slices.ContainsFunc(own, func(tech string) bool { return inside(imp, tech) })
			if !allowed {
				t.Errorf("%q imports %s: a public package brings its users the OTel API, the core and at most %v", p.rel(), imp, own)
			}
		}
		for _, dep := range p.Deps {
			if inside(dep, "go.opentelemetry.io/otel/sdk") || inside(dep, module+"/internal/server") {
				t.Errorf("%q depends on %s: telemetry is set up by main, and the server is not the user's business", p.rel(), dep)
			}
		}
	}
	for name := range public {
		if !seen[name] {
			t.Errorf("rule for public package %q has no package any more: remove it", name)
		}
	}
}

func hasKey[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }

// adapters speak one technology each, to the use cases, never to each other.
var adapters = []string{
	"internal/server/store/sqlite", "internal/server/httpapi", "internal/server/stream",
	"internal/server/ofrep", "internal/server/otlp", "internal/server/traces", "internal/server/intervals", "internal/server/console",
	"internal/server/flagd", "internal/server/prometheus", "internal/server/cohorts",
}

// between are the imports of one adapter by another that are meant, with the reason.
var between = map[string]string{
	"internal/server/otlp → internal/server/traces":       "spans are decoded into the form in which they are kept",
	"internal/server/otlp → internal/server/intervals":    "points are decoded into the form in which they are counted",
	"internal/server/otlp → internal/server/cohorts":      "what stock SDKs send is decoded into the form in which it is converted",
	"internal/server/cohorts → internal/server/intervals": "what stock SDKs count becomes the points that our own sends",
	"internal/server/cohorts → internal/server/traces":    "attributes and spans have the form in which they are decoded",
	"internal/server/httpapi → internal/server/traces":    "the API answers with the trace store's trees",
	"internal/server/console → internal/server/traces":    "the pages show the trace store's trees",
}

func TestAdaptersDoNotKnowEachOther(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		if !slices.Contains(adapters, p.rel()) {
			continue
		}
		for _, imp := range p.Imports {
			other := strings.TrimPrefix(imp, module+"/")
			if !slices.Contains(adapters, other) || other == p.rel() {
				continue
			}
			edge := p.rel() + " → " + other
			used[edge] = true
			if between[edge] == "" {
				t.Errorf("%s: adapters meet only in app; if this is meant, give the reason in the table", edge)
			}
		}
	}
	for edge := range between {
		if !used[edge] {
			t.Errorf("exception %q is not used any more: remove it", edge)
		}
	}
}

// wiring are the packages that put adapters together.
const wiring = "internal/server/app"

func TestOnlyAppWires(t *testing.T) {
	for _, p := range packages(t) {
		if p.rel() == wiring || slices.Contains(adapters, p.rel()) {
			continue
		}
		for _, imp := range p.Imports {
			if name := strings.TrimPrefix(imp, module+"/"); slices.Contains(adapters, name) {
				t.Errorf("%s imports %s: adapters are put together in app only, so that one place knows what runs", p.rel(), name)
			}
		}
	}
}

// runners start a server of their own; everything else outside of it speaks HTTP. They may
// import app to start it, and control for the configuration that app takes.
var (
	runners  = []string{"internal/cli/serve", "internal/cli/dev", "internal/cli/demo", "internal/demo/"}
	startsBy = []string{module + "/" + wiring, module + "/internal/server/control"}
)

func TestWhoMayImportTheServer(t *testing.T) {
	for _, p := range packages(t) {
		if inside(p.rel(), "internal/server") {
			continue
		}
		for _, file := range p.GoFiles {
			name := p.rel() + "/" + file
			mayRun := slices.ContainsFunc(runners, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
			for _, imp := range serverImports(t, filepath.Join(p.Dir, file)) {
				if !mayRun {
					t.Errorf("%s imports %s: only serve, dev and demo run a server, everybody else speaks HTTP", name, imp)
				} else if !slices.Contains(startsBy, imp) {
					t.Errorf("%s imports %s: a server is started through app", name, imp)
				}
			}
		}
	}
}

func TestServerDoesNotKnowTheCommandLine(t *testing.T) {
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			for _, above := range []string{"internal/cli", "internal/demo", "examples", "cmd"} {
				if inside(p.rel(), "internal/server") && inside(dep, module+"/"+above) {
					t.Errorf("%s depends on %s: the server serves any client", p.rel(), dep)
				}
			}
		}
	}
}

func serverImports(t *testing.T, path string) (list []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range file.Imports {
		if name, _ := strconv.Unquote(imp.Path.Value); inside(name, module+"/internal/server") {
			list = append(list, name)
		}
	}
	return list
}

func TestExamplesUsePublicPackages(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if inside(p.rel(), "examples") && inside(imp, module+"/internal") {
				t.Errorf("%s imports %s: an example shows what a user can do", p.rel(), imp)
			}
		}
	}
}

func TestNoTestingInProduction(t *testing.T) {
	support := []string{"internal/server/store/storetest"}
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, "testing") && !slices.Contains(support, p.rel()) {
			t.Errorf("%s imports testing: it would register flags in users' binaries", p.rel())
		}
	}
}

func TestPackagesHaveNamesAndDocs(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(p.rel(), "/") {
			if slices.Contains([]string{"pkg", "util", "utils", "common", "helpers", "misc"}, part) {
				t.Errorf("%s: %q says nothing about what lives there", p.rel(), part)
			}
		}
		if len(p.GoFiles) > 0 && p.Doc == "" && !strings.HasSuffix(p.rel(), "pb") {
			t.Errorf("%s has no package comment", p.rel())
		}
	}
}

func TestPublicPackagesHaveExamples(t *testing.T) {
	for _, p := range packages(t) {
		if !hasKey(public, p.rel()) {
			continue
		}
		tests, _ := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		if !slices.ContainsFunc(tests, func(path string) bool {
			text, _ := os.ReadFile(path)
			return strings.Contains(string(text), "func Example") && strings.Contains(string(text), "// Output:")
		}) {
			t.Errorf("public package %q has no runnable Example", p.rel())
		}
	}
}

func TestCoreBuildsForWebAssembly(t *testing.T) {
	cmd := exec.Command("go", "build", "./internal/core/...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the core does not build for js/wasm: %v\n%s", err, out)
	}
}

const maxFileLines = 600

// funcLimits are 90th percentiles of function length in lines, by part of the tree.
var funcLimits = []struct {
	part  string
	dirs  []string
	limit int
}{
	{"core", []string{"internal/core"}, 25},
	{"client", []string{".", "fault", "resilience", "seatrialhttp", "seatrialgrpc", "seatrialsql", "seatrialnet", "ofprovider"}, 25},
	{"server", []string{"internal/server"}, 45},
	{"command line", []string{"internal/cli", "internal/demo", "cmd"}, 45},
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	lengths := make([][]int, len(funcLimits))
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") || strings.HasSuffix(path, ".connect.go") {
			return nil
		}
		return measure(t, path, lengths)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, group := range funcLimits {
		list := lengths[i]
		if len(list) == 0 {
			t.Errorf("%s: there are no functions in %v: correct the table", group.part, group.dirs)
			continue
		}
		sort.Ints(list)
		if p90 := list[len(list)*9/10]; p90 > group.limit {
			t.Errorf("%s: 90 %% of the functions should have at most %d lines (one algorithm, one page), they have up to %d", group.part, group.limit, p90)
		}
	}
}

func measure(t *testing.T, path string, lengths [][]int) error {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, 0)
	if err != nil {
		return err
	}
	rel, _ := filepath.Rel("../..", path)
	if lines := fset.File(file.Pos()).LineCount(); lines > maxFileLines {
		t.Errorf("%s has %d lines; over %d it holds more than one idea", rel, lines, maxFileLines)
	}
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	for i, group := range funcLimits {
		if !slices.ContainsFunc(group.dirs, func(dir string) bool {
			return dir == filepath.Dir(rel) || dir != "." && inside(rel, dir)
		}) {
			continue
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				lengths[i] = append(lengths[i], fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1)
			}
		}
	}
	return nil
}
