package api_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestReadmeExamples plays every example of the README in order against one
// platform: the status is the one written, and the answer holds at least what
// is written; "…" stands for anything.
func TestReadmeExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	examples := regexp.MustCompile("(?s)```http\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 5 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, example := range examples {
		request, response, _ := strings.Cut(example[1], "\n\n")
		line, body, _ := strings.Cut(request, "\n")
		method, path, _ := strings.Cut(line, " /api/")
		code, want, _ := strings.Cut(response, "\n")
		status, err := strconv.Atoi(code)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got := s.operator().expect(status, method, path, body)
		var wanted, found any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		got.into(t, &found)
		if !holds(found, wanted) {
			t.Errorf("%s\ngives %s\nwant  %s", line, got.body, want)
		}
	}
}

// holds says whether found has all that wanted has.
func holds(found, wanted any) bool {
	switch w := wanted.(type) {
	case map[string]any:
		f, ok := found.(map[string]any)
		for name, value := range w {
			member, has := f[name]
			ok = ok && has && holds(member, value)
		}
		return ok
	case []any:
		f, ok := found.([]any)
		if !ok || len(f) != len(w) {
			return false
		}
		for i := range w {
			ok = ok && holds(f[i], w[i])
		}
		return ok
	case string:
		return w == "…" || found == wanted
	}
	return found == wanted
}
