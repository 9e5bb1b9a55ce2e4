package simulations

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOnlyTheSeed: nothing in here reads a clock, a file or the network, and
// nothing runs beside the one goroutine.
func TestOnlyTheSeed(t *testing.T) {
	forbidden := []string{"net", "net/http", "os", "os/exec", "sync", "sync/atomic", "math/rand", "crypto/rand", "hash/maphash"}
	files := token.NewFileSet()
	var names []string
	for _, pattern := range []string{"*.go", "check/*.go", "scenarios/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); slices.Contains(forbidden, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.GoStmt, *ast.ChanType:
				t.Errorf("%s: a goroutine or channel", files.Position(node.Pos()))
			case *ast.SelectorExpr:
				base, ok := n.X.(*ast.Ident)
				if ok && base.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer"}, n.Sel.Name) {
					t.Errorf("%s: time.%s", files.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}
