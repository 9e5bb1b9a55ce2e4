package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the repository (STYLE.md, habit 19). Each is a line of text
// when it is broken; none needs git or the network.

const (
	root             = "../.."
	maxFunctionLines = 70
	maxFileBytes     = 100_000
)

// topLevel is what may lie in the repository's root.
var topLevel = []string{
	".ci", ".git", ".gitignore", ".golangci.yml", "LICENSE", "README.md", "Taskfile.yml", "go.mod", "go.sum",
	"events", "actors", "projections", "runtime", "gateways", "cmd", "simulations",
	".task", "bin", "data", // made by tasks, ignored by git
}

// longFunctions may be over maxFunctionLines. The list only shrinks.
var longFunctions = map[string]bool{}

// layer is one row of the import table of DESIGN.md §3. Patterns are those of
// path.Match, and "/..." at the end means everything below.
type layer struct {
	packages string
	imports  []string // ours that it may reach, itself aside
	pure     bool     // no clock, no chance, no I/O, no goroutines
}

// layers is THE table; the first row that matches a package counts.
var layers = []layer{
	{"events", nil, true},
	{"events/...", []string{"events", "events/..."}, false},
	{"actors/actortest", []string{"events", "events/problem"}, false},
	{"actors/policy", []string{"events", "events/problem", "actors/*"}, true},
	{"actors/*", []string{"events", "events/problem"}, true},
	{"actors", []string{"events", "events/...", "actors/..."}, false},
	{"projections/pmap", nil, true},
	{"projections/foldtest", []string{"events", "events/...", "projections/*"}, false}, // for tests only
	{"projections/*", []string{"events", "projections/pmap"}, true},
	{"projections/audit/keeper", []string{"events", "events/...", "projections/audit"}, false},
	{"projections", []string{"events", "events/..."}, false},
	{"runtime/drop/machine", []string{"events"}, true},
	{"runtime/agent/desired", []string{"events"}, true},
	{"runtime/lease/terms", []string{"events"}, true},
	{"runtime/...", []string{"events", "events/...", "runtime/..."}, false},
	{"gateways/*", []string{"events", "events/...", "actors/*", "projections/*"}, false},
	{"gateways/*/*", []string{"events", "events/...", "projections/*"}, false},
	{"simulations/check", []string{"events", "events/problem", "actors/*", "projections/..."}, false},
	{"simulations/scenarios", nil, false},
	{"simulations/shell", []string{"events", "events/problem", "events/eventlog", "events/eventlog/memory", "actors", "actors/*", "projections", "projections/...",
		"runtime/drop/machine", "runtime/agent/desired", "gateways/styx/upstream", "simulations", "simulations/..."}, false},
	{"simulations", []string{"events", "events/problem", "events/eventlog", "events/eventlog/memory", "actors", "actors/*", "projections/...",
		"runtime/drop/machine", "runtime/agent/desired", "gateways/styx/upstream", "simulations/..."}, false},
	{"cmd/...", []string{"simulations", "simulations/...", "events", "events/...", "actors", "actors/...", "projections", "projections/...", "runtime/...", "gateways/..."}, false},
}

// impure is what a pure package may not import.
var impure = []string{"context", "os", "os/exec", "net", "net/http", "sync", "sync/atomic", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "io/fs"}

// onlyIn says which packages may import a library; what stands in for its other
// side in tests, <package>/<package>test, may too.
var onlyIn = map[string]string{
	"github.com/asynkron/protoactor-go":    "actors",
	"github.com/nats-io/nats-server/v2":    "events/eventlog/jetstream",
	"github.com/spf13/cobra":               "cmd/pantheon",
	"github.com/hanwen/go-fuse/v2":         "runtime/files/remote",
	"github.com/EventStore/EventStore-Cli": "events/eventlog/eventstoredb",
}

// source is one parsed package: what is no test of it.
type source struct {
	name    string // the folder below the root
	files   []*ast.File
	tests   []*ast.File
	imports map[string]bool
}

func parseAll(t *testing.T) (map[string]*source, *token.FileSet) {
	t.Helper()
	all := make(map[string]*source)
	files := token.NewFileSet()
	walk(t, func(name string, _ fs.DirEntry) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "/testdata/") {
			return
		}
		file, err := parser.ParseFile(files, filepath.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Dir(name)
		p := all[folder]
		if p == nil {
			p = &source{name: folder, imports: make(map[string]bool)}
			all[folder] = p
		}
		if strings.HasSuffix(name, "_test.go") {
			p.tests = append(p.tests, file)
			return
		}
		p.files = append(p.files, file)
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			p.imports[imported] = true
		}
	})
	return all, files
}

// walk calls back for every file of the repository that is not ignored.
func walk(t *testing.T, visit func(name string, entry fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "bin", "data", ".task"}, relative) {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			visit(filepath.ToSlash(relative), entry)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func matches(pattern, name string) bool {
	if below, found := strings.CutSuffix(pattern, "/..."); found {
		return strings.HasPrefix(name, below+"/")
	}
	matched, _ := path.Match(pattern, name)
	return matched
}

func layerOf(name string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, name) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

func TestRulesImports(t *testing.T) {
	all, _ := parseAll(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l, known := layerOf(name)
		if !known {
			t.Errorf("package %s has no row in the import table", name)
			continue
		}
		for reached, via := range reachable(all, name) {
			allowed := slices.ContainsFunc(l.imports, func(pattern string) bool { return matches(pattern, reached) })
			if !allowed && !sameGateway(name, reached) {
				t.Errorf("%s may not import %s (it does: %s)", name, reached, via)
			}
		}
		checkLibraries(t, all[name])
	}
}

// sameGateway: a gateway may be made of several packages.
func sameGateway(a, b string) bool {
	pair := [2][]string{strings.Split(a, "/"), strings.Split(b, "/")}
	return a == b || pair[0][0] == "gateways" && len(pair[1]) > 1 && slices.Equal(pair[0][:2], pair[1][:2])
}

// reachable gives every package of ours that a package imports, itself or
// through others, with one way to it.
func reachable(all map[string]*source, from string) map[string]string {
	found := make(map[string]string)
	var visit func(name, via string)
	visit = func(name, via string) {
		for imported := range all[name].imports {
			ours, isOurs := strings.CutPrefix(imported, "pantheon/")
			if _, seen := found[ours]; !isOurs || seen || all[ours] == nil {
				continue
			}
			found[ours] = via + " → " + ours
			visit(ours, found[ours])
		}
	}
	visit(from, from)
	return found
}

func checkLibraries(t *testing.T, p *source) {
	t.Helper()
	for imported := range p.imports {
		for library, home := range onlyIn {
			if strings.HasPrefix(imported, library) && p.name != home && p.name != home+"/"+path.Base(home)+"test" {
				t.Errorf("%s may not import %s: only %s may", p.name, imported, home)
			}
		}
	}
}

// TestRulesPurity: what a pure package reaches among ours must be pure in the
// same way, events/problem excepted by the table.
func TestRulesPurity(t *testing.T) {
	all, files := parseAll(t)
	for name, p := range all {
		if l, known := layerOf(name); !known || !l.pure {
			continue
		}
		reached := []*source{p}
		for other := range reachable(all, name) {
			reached = append(reached, all[other])
		}
		for _, q := range reached {
			for _, forbidden := range impure {
				if q.imports[forbidden] {
					t.Errorf("%s is pure, but %s imports %s", name, q.name, forbidden)
				}
			}
		}
		for _, file := range p.files {
			ast.Inspect(file, func(node ast.Node) bool {
				if what := impureUse(node); what != "" {
					t.Errorf("%s: a pure package uses %s", files.Position(node.Pos()), what)
				}
				return true
			})
		}
	}
}

// impureUse names the clock, goroutine or channel that a node is.
func impureUse(node ast.Node) string {
	switch n := node.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.ChanType:
		return "a channel"
	case *ast.SelectorExpr:
		base, ok := n.X.(*ast.Ident)
		clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
		if ok && base.Name == "time" && slices.Contains(clock, n.Sel.Name) {
			return "time." + n.Sel.Name
		}
	}
	return ""
}

func TestRulesOnePackageComment(t *testing.T) {
	all, _ := parseAll(t)
	for name, p := range all {
		docs := 0
		for _, file := range p.files {
			if file.Doc != nil {
				docs++
			}
		}
		if len(p.files) > 0 && docs != 1 {
			t.Errorf("package %s has %d package comments, it must have one", name, docs)
		}
	}
}

func TestRulesFunctionLength(t *testing.T) {
	all, files := parseAll(t)
	long := make(map[string]bool)
	for name, p := range all {
		for _, file := range slices.Concat(p.files, p.tests) {
			for _, declaration := range file.Decls {
				function, ok := declaration.(*ast.FuncDecl)
				if !ok || function.Body == nil {
					continue
				}
				lines := files.Position(function.End()).Line - files.Position(function.Pos()).Line + 1
				if lines <= maxFunctionLines {
					continue
				}
				key := name + "." + function.Name.Name
				long[key] = true
				if !longFunctions[key] {
					t.Errorf("%s: %s has %d lines, %d are allowed", files.Position(function.Pos()), function.Name.Name, lines, maxFunctionLines)
				}
			}
		}
	}
	for key := range longFunctions {
		if !long[key] {
			t.Errorf("%s is not long any more: take it from the list", key)
		}
	}
}

func TestRulesWords(t *testing.T) {
	all, files := parseAll(t)
	for _, p := range all {
		for _, file := range slices.Concat(p.files, p.tests) {
			for _, group := range file.Comments {
				for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
					if strings.Contains(group.Text(), word) {
						t.Errorf("%s: a comment says %s: do it, or write down why it is not done", files.Position(group.Pos()), word)
					}
				}
			}
		}
		for _, file := range p.tests {
			ast.Inspect(file, func(node ast.Node) bool {
				if impureUse(node) == "time.Sleep" && !slices.ContainsFunc(file.Imports, isSynctest) {
					t.Errorf("%s: a test sleeps: wait for the thing itself", files.Position(node.Pos()))
				}
				return true
			})
		}
	}
}

// isSynctest: in a bubble of testing/synctest time is virtual, and sleeping is
// how it passes.
func isSynctest(spec *ast.ImportSpec) bool {
	return spec.Path.Value == strconv.Quote("testing/synctest")
}

func TestRulesTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains(topLevel, entry.Name()) {
			t.Errorf("%s does not belong in the repository's root", entry.Name())
		}
	}
}

func TestRulesFileSize(t *testing.T) {
	walk(t, func(name string, entry fs.DirEntry) {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxFileBytes {
			t.Errorf("%s has %d bytes, %d are allowed", name, info.Size(), maxFileBytes)
		}
	})
}

// TestRulesWireFiles: what was written to a log stays readable, so a golden
// file of the wire never changes. A new one gets its line in the manifest:
// cd events/testdata/wire && sha256sum NAME >> ../../../cmd/pantheon/testdata/wire.sha256
func TestRulesWireFiles(t *testing.T) {
	manifest := readManifest(t)
	found := make(map[string]bool)
	walk(t, func(name string, _ fs.DirEntry) {
		base, isWire := strings.CutPrefix(name, "events/testdata/wire/")
		if !isWire || strings.Count(base, ".") != 2 { // <event>.<version>.txt
			return
		}
		found[base] = true
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		switch hex.EncodeToString(sum[:]) {
		case manifest[base]:
		default:
			if manifest[base] == "" {
				t.Errorf("%s has no line in the manifest: %s", name, fmt.Sprintf("%x  %s", sum, base))
			} else {
				t.Errorf("%s has changed: add a version of the event instead", name)
			}
		}
	})
	for name := range manifest {
		if !found[name] {
			t.Errorf("events/testdata/wire/%s is gone: what was written must stay readable", name)
		}
	}
}

func readManifest(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("testdata/wire.sha256")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	manifest := make(map[string]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		if manifest[name] != "" {
			t.Errorf("the manifest names %s twice", name)
		}
		manifest[name] = sum
	}
	return manifest
}
