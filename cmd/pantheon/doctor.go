package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/actors/environment"
	"pantheon/events/problem"
	"pantheon/runtime/code"
	"pantheon/runtime/drop"
	"pantheon/runtime/require"
	"pantheon/runtime/service/mariadb"
)

// requirements is all that this binary needs from the machine it runs on.
func requirements() []require.Requirement {
	return slices.Concat(code.Requirements(), mariadb.Requirements(), phpRequirements(environment.DefaultSettings("dev").PHPVersion))
}

// phpExtensions are those that Drupal, WordPress and Drush need, with the part
// of a package's name behind "php8.2-".
var phpExtensions = []struct{ extension, part, why string }{
	{"opcache", "opcache", "it keeps compiled code"},
	{"pdo_mysql", "mysql", "Drupal reaches its database through it"},
	{"mysqli", "mysql", "WordPress reaches its database through it"},
	{"gd", "gd", "applications scale images with it"},
	{"mbstring", "mbstring", "Drupal and WordPress need it"},
	{"dom", "xml", "Drupal and WordPress need it"},
	{"xmlreader", "xml", "applications import with it"},
	{"curl", "curl", "applications fetch with it"},
	{"intl", "intl", "applications sort and translate with it"},
	{"zip", "zip", "applications unpack with it"},
	{"apcu", "apcu", "Drupal caches in it"},
}

// essential leaves out what only some sites need.
func essential(needs []require.Requirement) []require.Requirement {
	return slices.DeleteFunc(slices.Clone(needs), func(need require.Requirement) bool { return need.Optional })
}

// phpRequirements is what a version of PHP has to have, as Debian packages it.
func phpRequirements(version string) []require.Requirement {
	prefix := "php" + version + "-"
	needs := []require.Requirement{
		require.Program("php-fpm"+version, prefix+"fpm", "it runs the sites"),
		require.Program("php"+version, prefix+"cli", "it runs the sites' commands"),
	}
	found, _ := drop.FindPHP(version) // without it nothing is available
	for _, e := range phpExtensions {
		need := require.Requirement{Name: "PHP extension " + e.extension, Install: aptInstall + prefix + e.part, Why: e.why, Optional: true}
		if slices.Contains(found.Available, e.extension) {
			need.Found = filepath.Join(found.Extensions, e.extension+".so")
		}
		needs = append(needs, need)
	}
	return needs
}

// finding is one line of the doctor's report.
type finding struct {
	Name    string `json:"name"`
	Found   string `json:"found"` // empty: missing
	Install string `json:"install,omitzero"`
	Why     string `json:"why"`
}

func findingColumns() []column[finding] {
	return []column[finding]{
		{"name", func(f finding) string { return f.Name }},
		{"found", func(f finding) string {
			if f.Found == "" {
				return "MISSING"
			}
			return f.Found
		}},
		{"install", func(f finding) string { return f.Install }},
		{"why", func(f finding) string { return f.Why }},
	}
}

func (c *cli) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this machine lacks to run the platform, and how to install it", Args: arguments(0, 0),
		Long: `doctor looks for everything that pantheon up and the sites on it need from the
machine. Its exit code is 69 when something is missing.`,
		RunE: func(*cobra.Command, []string) error {
			findings, install := examine(requirements())
			if err := show(c, findings, findingColumns()); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				fmt.Fprintln(c.errors, "without root the platform runs, but sites are NOT isolated from one another")
			}
			if install != "" {
				return problem.New(problem.Unavailable, "something that the platform needs is missing").WithHint("%s", install)
			}
			return nil
		},
	}
}

// examine gives the report, and the one line that installs all that is
// missing.
func examine(needs []require.Requirement) (findings []finding, install string) {
	var packages []string
	for _, need := range needs {
		found := finding{Name: need.Name, Found: need.Found, Why: need.Why}
		if need.Missing() {
			found.Install = need.Install
			packages = append(packages, strings.Fields(strings.TrimPrefix(need.Install, aptInstall))...)
		}
		findings = append(findings, found)
	}
	if len(packages) == 0 {
		return findings, ""
	}
	slices.Sort(packages)
	return findings, aptInstall + strings.Join(slices.Compact(packages), " ")
}

const aptInstall = "apt-get install -y "
