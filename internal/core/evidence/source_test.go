package evidence

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mathExact are the functions of package math whose result does not depend on the architecture.
var mathExact = []string{"Abs", "Floor", "Frexp", "Inf", "IsInf", "IsNaN", "Ldexp", "Max", "NaN", "Trunc", "Sqrt", "Float64bits", "Float64frombits"}

// The same rows must give the same bits everywhere: no elementary function of package math, and
// no product of floats that a compiler could fuse with a sum (also across statements, so every
// product must be rounded by a conversion, divided, or marked as exact).
func TestSourceIsTheSameOnEveryArchitecture(t *testing.T) {
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := conf.Check("evidence", fset, files, info); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		checkFloats(t, fset, file, info)
	}
}

func checkFloats(t *testing.T, fset *token.FileSet, file *ast.File, info *types.Info) {
	exact := map[int]bool{}
	for _, group := range file.Comments {
		if strings.HasPrefix(group.List[0].Text, "//exact") {
			exact[fset.Position(group.Pos()).Line] = true
		}
	}
	rounded := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "float64" {
				round(rounded, n.Args[0])
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "math" && info.Types[n].Value == nil && !info.Types[n].IsType() && !slices.Contains(mathExact, n.Sel.Name) {
				t.Errorf("%s: math.%s differs between architectures: use exact.go", fset.Position(n.Pos()), n.Sel.Name)
			}
		case *ast.AssignStmt:
			if n.Tok == token.MUL_ASSIGN && isFloat(info, n.Lhs[0]) {
				t.Errorf("%s: write x = float64(x * y) instead of x *= y", fset.Position(n.Pos()))
			}
		case *ast.BinaryExpr:
			if n.Op == token.QUO {
				round(rounded, n.X)
				round(rounded, n.Y)
			}
			if n.Op == token.MUL && isFloat(info, n) && info.Types[n].Value == nil && !rounded[n] && !exact[fset.Position(n.Pos()).Line] {
				t.Errorf("%s: a product of floats stands outside float64(…): it could be fused with a sum", fset.Position(n.Pos()))
			}
		}
		return true
	})
}

// round marks a product, and the products that are its factors.
func round(rounded map[ast.Expr]bool, e ast.Expr) {
	if p, ok := e.(*ast.ParenExpr); ok {
		e = p.X
	}
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.MUL {
		rounded[b] = true
		round(rounded, b.X)
		round(rounded, b.Y)
	}
}

func isFloat(info *types.Info, e ast.Expr) bool {
	basic, ok := info.TypeOf(e).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsFloat != 0
}

// close reports whether the two differ by at most n units in the last place of want, or by 1e-300.
func closeTo(got, want float64, n float64) bool {
	return got == want || math.Abs(got-want) <= n*math.Abs(math.Nextafter(want, math.Inf(1))-want)+1e-300
}

func TestElementaryFunctionsAgreeWithMath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := math.Exp(rapid.Float64Range(-700, 700).Draw(t, "ln x"))
		if got, want := ln(x), math.Log(x); math.Abs(got-want) > 4e-16*max(1, math.Abs(want)) {
			t.Errorf("ln(%v) = %v, want %v", x, got, want)
		}
		z := rapid.OneOf(rapid.Float64Range(-0.999, 10), rapid.Float64Range(-1e-9, 1e-9)).Draw(t, "z")
		if got, want := ln1p(z), math.Log1p(z); !closeTo(got, want, 4) && math.Abs(got-want) > 4e-16 {
			t.Errorf("ln1p(%v) = %v, want %v", z, got, want)
		}
		e := rapid.Float64Range(-700, 700).Draw(t, "e")
		if got, want := exp(e), math.Exp(e); !closeTo(got, want, 8) {
			t.Errorf("exp(%v) = %v, want %v", e, got, want)
		}
		g := rapid.OneOf(rapid.Float64Range(1e-3, 30), rapid.Float64Range(1, 1e9)).Draw(t, "g")
		want, _ := math.Lgamma(g)
		if got := lnGamma(g); math.Abs(got-want) > 4e-14*max(1, math.Abs(want)) {
			t.Errorf("lnGamma(%v) = %v, want %v", g, got, want)
		}
	})
}

func TestElementaryFunctionsAtTheEdges(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		name      string
		got, want float64
	}{
		{"ln 0", ln(0), -inf}, {"ln -1", ln(-1), -inf}, {"ln Inf", ln(inf), inf}, {"ln 1", ln(1), 0}, {"ln of the least", ln(math.SmallestNonzeroFloat64), -744.4400719213812},
		{"exp 0", exp(0), 1}, {"exp -Inf", exp(-inf), 0}, {"exp Inf", exp(inf), inf}, {"exp 710", exp(710), inf}, {"exp -750", exp(-750), 0},
		{"sum of nothing", logSumExp(nil), -inf}, {"sum with Inf", logSumExp([]float64{1, inf}), inf},
	} {
		if test.got != test.want {
			t.Errorf("%s = %v, want %v", test.name, test.got, test.want)
		}
	}
	if !math.IsNaN(exp(math.NaN())) {
		t.Error("exp NaN is a number")
	}
}
