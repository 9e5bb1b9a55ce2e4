package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/name"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/eventlog/sealed"
	"pantheon/runtime/keys"
)

// policyCommand is a command that policies give, with the texts in it that are
// passed on as they stand in the log: none that personalTable in package events
// names may be among them, except for those of hosts, whose actors take them
// sealed.
type policyCommand struct {
	command any
	passed  []string
}

func policyCommands() []policyCommand {
	return []policyCommand{
		{binding.Place{}, nil},
		{binding.Lose{}, nil},
		{binding.Request{}, nil},
		{binding.RequestRetirement{}, nil},
		{binding.Retire{}, nil},
		{drop.Displace{}, []string{"Reason"}}, // the policy's own words
		{drop.Place{}, nil},
		{drop.Request{}, nil},
		{drop.RequestMove{}, []string{"Reason"}}, // the policy's own words
		{drop.RequestRetirement{}, nil},
		{drop.Retire{}, nil},
		{environment.ChangeSettings{}, []string{"Change.FileMount", "Change.PHPVersion", "Change.ProtectedWebPaths"}},
		{environment.Create{}, []string{"Settings.FileMount", "Settings.PHPVersion", "Settings.ProtectedWebPaths", "SiteName"}},
		{environment.Delete{}, nil},
		{environment.Deploy{}, []string{"Commit", "Message"}}, // the policy's own words
		{environment.RequestDeletion{}, nil},
		{host.AdmitBinding{}, []string{"Spec.Source.Branch", "Spec.Source.Location"}},
		{host.AdmitDrop{}, []string{"Spec.Commit", "Spec.Settings.FileMount", "Spec.Settings.PHPVersion", "Spec.Settings.ProtectedWebPaths", "Spec.SiteName"}},
		{host.ChangeDropSpec{}, []string{"Spec.Commit", "Spec.Settings.FileMount", "Spec.Settings.PHPVersion", "Spec.Settings.ProtectedWebPaths", "Spec.SiteName"}},
		{host.DismissBinding{}, nil},
		{host.DismissDrop{}, []string{"Reason"}}, // the policy's own words
		{name.Claim{}, []string{"By"}},           // a stream
		{name.Release{}, []string{"By"}},         // a stream
		{site.Activate{}, nil},
		{site.Create{}, []string{"Name"}}, // public
		{site.Delete{}, nil},
		{site.RequestDeletion{}, []string{"Reason"}}, // the workflow's description, which is not sealed
		{workflow.CompleteStep{}, nil},
		{workflow.FailStep{}, nil},
	}
}

func TestOpeningCommanderKnowsEveryCommand(t *testing.T) {
	given := commandsOfPolicies(t)
	ring, err := keys.Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	box := sealed.NewBox(sealingKeys{ring})
	text, err := box.Seal(events.Owner{Site: "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"}, "Diary")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range policyCommands() {
		command, passed := row.command, row.passed
		if !given[reflect.TypeOf(command).String()] {
			t.Errorf("no policy gives %T any more: take it out of the list", command)
		}
		delete(given, reflect.TypeOf(command).String())
		filled := reflect.New(reflect.TypeOf(command)).Elem()
		fillTexts(filled, text)
		opened := openingCommander{box: box}.opened(filled.Interface())
		if got := sealedTextsOf(reflect.ValueOf(opened), "", text); !slices.Equal(got, passed) {
			t.Errorf("%T passes on %q, the list says %q", command, got, passed)
		}
	}
	for command := range given {
		t.Errorf("policies give %s: add it to the list, and open in openingCommander what the log has sealed", command)
	}
}

// commandsOfPolicies reads which commands package policy makes.
func commandsOfPolicies(t *testing.T) map[string]bool {
	notTests := func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
	packages, err := parser.ParseDir( //nolint:staticcheck // one folder without build tags: all that it cannot do
		token.NewFileSet(), filepath.Join(root, "actors", "policy"), notTests, 0)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, file := range packages["policy"].Files {
		actors := map[string]bool{}
		for _, spec := range file.Imports {
			if imported, err := strconv.Unquote(spec.Path.Value); err == nil && strings.HasPrefix(imported, "pantheon/actors/") {
				actors[path.Base(imported)] = true
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			literal, is := node.(*ast.CompositeLit)
			if !is {
				return true
			}
			if selector, is := literal.Type.(*ast.SelectorExpr); is {
				if from, is := selector.X.(*ast.Ident); is && actors[from.Name] {
					given[from.Name+"."+selector.Sel.Name] = true
				}
			}
			return true
		})
	}
	delete(given, "environment.SettingsChange") // a part of a command
	return given
}

// fillTexts puts the text into every string, but for identifiers and other
// closed types.
func fillTexts(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(text)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillTexts(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillTexts(v.Index(0), text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillTexts(v.Field(i), text)
			}
		}
	}
}

// sealedTextsOf gives the fields that hold the sealed text, sorted.
func sealedTextsOf(v reflect.Value, at, text string) []string {
	var found []string
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), text) {
			found = append(found, at)
		}
	case reflect.Pointer:
		found = sealedTextsOf(v.Elem(), at, text)
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, sealedTextsOf(v.Index(i), at, text)...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			inner := v.Type().Field(i).Name
			if at != "" {
				inner = at + "." + inner
			}
			found = append(found, sealedTextsOf(v.Field(i), inner, text)...)
		}
	}
	slices.Sort(found)
	return found
}
