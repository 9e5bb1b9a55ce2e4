package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestReadmeCommands: every command that the README tells people to type is
// one, with flags it has and as many arguments as it takes; and every task
// exists.
func TestReadmeCommands(t *testing.T) {
	lines := shellLines(t, filepath.Join(root, "README.md"))
	if len(lines) < 15 {
		t.Fatalf("the README has only %d commands", len(lines))
	}
	tasks := taskNames(t)
	for _, line := range lines {
		words := strings.Fields(line)
		switch {
		case words[0] == "pantheon":
			checkCommand(t, words[1:])
		case strings.HasPrefix(line, "go tool task --"):
		case strings.HasPrefix(line, "go tool task "):
			if !slices.Contains(tasks, words[3]) {
				t.Errorf("%q: there is no such task", line)
			}
		default:
			t.Errorf("%q: neither a task nor a command of ours", line)
		}
	}
}

// shellLines gives the commands of a document's sh blocks, without comments.
func shellLines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			command, _, _ := strings.Cut(line, "#")
			command, _, _ = strings.Cut(command, " > ") // where its output goes
			if command = strings.TrimSpace(command); command != "" {
				lines = append(lines, command)
			}
		}
	}
	return lines
}

func checkCommand(t *testing.T, words []string) {
	t.Helper()
	c := &cli{in: strings.NewReader(""), out: io.Discard, errors: io.Discard, getenv: func(string) string { return "" }}
	cmd, rest, err := c.rootCommand().Find(words)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.Args != nil {
		err = cmd.Args(cmd, cmd.Flags().Args())
	}
	if err != nil || !isLeaf(cmd) {
		t.Errorf("pantheon %s: %v", strings.Join(words, " "), err)
	}
}

func isLeaf(cmd *cobra.Command) bool { return !cmd.HasSubCommands() }

func taskNames(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, tasks, _ := strings.Cut(string(text), "\ntasks:\n")
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]*):$`).FindAllStringSubmatch(tasks, -1) {
		names = append(names, match[1])
	}
	return names
}

// TestTaskfilePackages: what the setup task installs is all that the doctor
// would ask for.
func TestTaskfilePackages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(text))
	for _, need := range requirements() {
		for _, name := range strings.Fields(strings.TrimPrefix(need.Install, aptInstall)) {
			if !slices.Contains(packages, name) {
				t.Errorf("the doctor wants %s for %s, the setup task does not install it", name, need.Name)
			}
		}
	}
}
