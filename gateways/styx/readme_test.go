package styx_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"pantheon/projections/routing"
)

// Every http block of the README is sent as it stands, and what follows the
// empty line must be in the answer.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "~~~ http\n")[1:]
	if len(blocks) < 4 {
		t.Fatalf("%d examples found", len(blocks))
	}
	g := start(t)
	g.routes.set(site, serving(drop(1)))
	g.routes.set("test-hello.pantheon.localhost", &routing.Route{State: routing.NotInitialized})
	g.agent.set(drop(1), func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprintln(w, "hello from drop 1")
		return err
	})
	g.agent.pings[drop(1)] = func(context.Context) error { return nil }
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "~~~")
		request, want, _ := strings.Cut(block, "\n\n")
		answer := g.raw(strings.ReplaceAll(request, "\n", "\r\n") + "\r\n\r\n")
		header, body, _ := strings.Cut(answer, "\r\n\r\n")
		for line := range strings.Lines(want) {
			line = strings.TrimSpace(line)
			if !strings.Contains(header, line) && !strings.Contains(body, line) {
				t.Errorf("the answer to\n%s\nlacks %q:\n%s", request, line, answer)
			}
		}
	}
}
