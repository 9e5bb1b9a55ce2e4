package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// An empty --at, as of a script's empty variable, does not show the present.
func TestEmptyAt(t *testing.T) {
	var said bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &said, errors: &said, getenv: func(string) string { return "" }}
	code := c.run(t.Context(), []string{"site", "list", "--at", "", "--data", t.TempDir()})
	if code != 64 || !strings.HasPrefix(said.String(), `pantheon: cannot read "" as a position or time`) {
		t.Errorf("exit code %d\n%s", code, said.String())
	}
}

// TestPastCommands: every command that takes --at exists; every other one
// refuses it in one line, before it does anything.
func TestPastCommands(t *testing.T) {
	var paths []string
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Runnable() {
			paths = append(paths, strings.TrimPrefix(cmd.CommandPath(), "pantheon "))
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit((&cli{getenv: func(string) string { return "" }}).rootCommand())
	for _, path := range pastCommands() {
		if !slices.Contains(paths, path) {
			t.Errorf("there is no command %q", path)
		}
	}
	reads := regexp.MustCompile(` (list|info|show|text|head|explain|check|why|tail)$`)
	for _, path := range paths {
		_, present := presentCommands()[path]
		if reads.MatchString(path) && slices.Contains(pastCommands(), path) == present {
			t.Errorf("%q shows something: either --at works with it, or presentCommands says why not", path)
		}
	}
	for _, line := range []string{"site create blog --upstream x", "env set blog.dev --workers 2", "up", "token create", "events show 1", "diff --from 1"} {
		var said bytes.Buffer
		c := &cli{in: strings.NewReader(""), out: &said, errors: &said, getenv: func(string) string { return "" }}
		code := c.run(t.Context(), append(strings.Fields(line), "--at", "2h", "--data", t.TempDir()))
		if code != 64 || !strings.HasPrefix(said.String(), "pantheon: cannot use --at with ") {
			t.Errorf("%s --at 2h: exit code %d\n%s", line, code, said.String())
		}
	}
}

func TestMomentText(t *testing.T) {
	now := time.Date(2026, 11, 28, 14, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"1234": "1234", "2h ago": "2026-11-28T12:30:00Z", "2026-11-28T14:03:05Z": "2026-11-28T14:03:05Z",
	} {
		if got, err := momentText(text, now); err != nil || got != want {
			t.Errorf("%q becomes %q (%v), want %q", text, got, err, want)
		}
	}
	at, err := momentText("2026-11-28 10:00", now)
	if err != nil {
		t.Fatal(err)
	}
	// What lacks a zone is in that of the one who types.
	if parsed, err := time.Parse(time.RFC3339Nano, at); err != nil || parsed.In(time.Local).Format("15:04") != "10:00" {
		t.Errorf("ten o'clock becomes %s (%v)", at, err)
	}
	for path, want := range map[string]string{"sites": "sites?at=7", "sites/x?site_state=true": "sites/x?site_state=true&at=7"} {
		if got := withAt(path, "7"); got != want {
			t.Errorf("%s becomes %s", path, got)
		}
	}
}
