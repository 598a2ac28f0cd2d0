package arch

import (
	"encoding/json"
	"errors"
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
	"strings"
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

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func inside(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func std(path string) bool { return !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") }

// coreStd is the part of the standard library that the core may use: values in, values out.
var coreStd = []string{
	"bytes", "cmp", "crypto/sha256", "encoding", "encoding/binary", "encoding/hex", "encoding/json",
	"errors", "fmt", "hash", "io", "iter", "maps", "math", "math/big", "math/bits", "net/netip", "reflect",
	"regexp", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf16", "unicode/utf8", "unique",
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
	"seatrialgrpc": {"google.golang.org/grpc"},
	"seatrialtest": nil,
}

var otelAPI = []string{
	"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/baggage",
	"go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/propagation",
	"go.opentelemetry.io/otel/semconv", "go.opentelemetry.io/otel/trace",
}

func TestPublicPackagesAreLight(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		own, isPublic := public[p.rel()]
		if !isPublic {
			continue
		}
		seen[p.rel()] = true
		for _, imp := range p.Imports {
			allowed := std(imp) || inside(imp, module+"/internal/core") || slices.Contains(otelAPI, imp) ||
				(inside(imp, module) && hasKey(public, strings.TrimPrefix(strings.TrimPrefix(imp, module), "/"))) ||
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
	"internal/server/otlp", "internal/server/traces", "internal/server/intervals", "internal/server/console",
}

// between are the imports of one adapter by another that are meant, with the reason.
var between = map[string]string{
	"internal/server/otlp → internal/server/intervals": "points are decoded into the form in which they are counted",
	"internal/server/otlp → internal/server/traces":    "spans are decoded into the form in which they are kept",
	"internal/server/httpapi → internal/server/traces": "the API answers with the trace store's trees",
	"internal/server/console → internal/server/traces": "the pages show the trace store's trees",
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

func TestWhoMayImportTheServer(t *testing.T) {
	for _, p := range packages(t) {
		if inside(p.rel(), "internal/server") || !slices.ContainsFunc(p.Imports, func(imp string) bool { return inside(imp, module+"/internal/server") }) {
			continue
		}
		if !inside(p.rel(), "internal/cli") {
			t.Errorf("%s imports the server: only serve, dev and demo run it, everybody else speaks HTTP", p.rel())
			continue
		}
		for _, file := range p.GoFiles {
			name := strings.TrimSuffix(file, ".go")
			if !importsServer(t, filepath.Join(p.Dir, file)) || strings.HasPrefix(name, "serve") || strings.HasPrefix(name, "dev") ||
				strings.HasPrefix(name, "demo") || inside(p.rel(), "internal/cli/demo") {
				continue
			}
			t.Errorf("%s/%s imports the server: the CLI speaks HTTP but for serve, dev and demo", p.rel(), file)
		}
	}
}

func importsServer(t *testing.T, path string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(file.Imports, func(imp *ast.ImportSpec) bool {
		return strings.HasPrefix(imp.Path.Value, `"`+module+"/internal/server")
	})
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
	support := []string{"seatrialtest", "internal/server/store/storetest"}
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
	dirs  []string
	limit int
}{
	{[]string{"internal/core", ".", "fault", "resilience", "seatrialhttp", "seatrialgrpc"}, 25},
	{[]string{"internal/server", "internal/cli"}, 45},
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	lengths := map[int][]int{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		return measure(t, path, lengths)
	})
	if err != nil {
		t.Fatal(err)
	}
	for limit, list := range lengths {
		sort.Ints(list)
		if p90 := list[len(list)*9/10]; p90 > limit {
			t.Errorf("90 %% of the functions should have at most %d lines, they have up to %d", limit, p90)
		}
	}
}

func measure(t *testing.T, path string, lengths map[int][]int) error {
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
	for _, group := range funcLimits {
		if !slices.ContainsFunc(group.dirs, func(dir string) bool {
			return dir == filepath.Dir(rel) || dir != "." && inside(rel, dir)
		}) {
			continue
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				lengths[group.limit] = append(lengths[group.limit], fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1)
			}
		}
	}
	return nil
}
