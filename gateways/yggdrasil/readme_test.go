package yggdrasil_test

import (
	"os"
	"strings"
	"testing"

	"pantheon/gateways/yggdrasil"
)

// Every dns block of the README is asked as it stands, and what follows the
// empty line must be in the answer.
func TestREADME(t *testing.T) {
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(content), "~~~ dns\n")[1:]
	if len(blocks) < 5 {
		t.Fatalf("%d examples found", len(blocks))
	}
	l := newLog()
	signer := withKeys(t, l)
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "~~~")
		question, want, _ := strings.Cut(block, "\n\n")
		question = strings.TrimPrefix(question, "$ dig ")
		answer := text(g.ask(strings.ReplaceAll(question, "+dnssec", "do"), false))
		for line := range strings.Lines(want) {
			if !strings.Contains(answer, strings.TrimSpace(line)) {
				t.Errorf("the answer to %s lacks %q:\n%s", question, line, answer)
			}
		}
	}
}
