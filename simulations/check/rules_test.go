package check_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pantheon/simulations/check"
)

// TestRulesAreExplained: whatever a violation may carry has a meaning, and no
// rule is only written down.
func TestRulesAreExplained(t *testing.T) {
	named := regexp.MustCompile(`iolate\("([a-z]+)"`)
	found := map[string]bool{}
	for _, pattern := range []string{"../*.go", "*.go", "../shell/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range named.FindAllStringSubmatch(string(text), -1) {
				found[match[1]] = true
			}
		}
	}
	for name := range found {
		if check.Meaning(name) == "" {
			t.Errorf("a violation of %q is not explained", name)
		}
	}
	for _, rule := range check.Rules() {
		if !found[rule.Name] {
			t.Errorf("nothing checks %q", rule.Name)
		}
	}
}
