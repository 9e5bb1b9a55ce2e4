package drop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// PHP is one installed version.
type PHP struct {
	Version    string // "8.2"
	FPM, CLI   string // programs
	Extensions string // folder
	Available  []string
}

// apiDates name the folder of a version's extensions.
var apiDates = map[string]string{
	"7.4": "20190902", "8.0": "20200930", "8.1": "20210902", "8.2": "20220829", "8.3": "20230831", "8.4": "20240924",
	"8.5": "20250925",
}

// FindPHP looks for a version where Debian's packages put it.
func FindPHP(version string) (PHP, error) {
	date, known := apiDates[version]
	if !known {
		return PHP{}, problem.New(problem.Invalid, "PHP version %.20q is not known", version)
	}
	return findPHP(PHP{
		Version: version, FPM: "/usr/sbin/php-fpm" + version, CLI: "/usr/bin/php" + version,
		Extensions: "/usr/lib/php/" + date,
	})
}

// InstalledPHP gives the versions that are there, sorted.
func InstalledPHP() []string {
	var there []string
	for version := range apiDates {
		if _, err := FindPHP(version); err == nil {
			there = append(there, version)
		}
	}
	slices.Sort(there)
	return there
}

func findPHP(p PHP) (PHP, error) {
	hint := "apt-get install php" + p.Version + "-fpm php" + p.Version + "-cli php" + p.Version + "-opcache"
	for _, program := range []string{p.FPM, p.CLI} {
		if _, err := os.Stat(program); err != nil {
			return PHP{}, problem.Wrap(problem.Unavailable, err, "cannot find PHP %s", p.Version).WithHint("%s", hint)
		}
	}
	entries, err := os.ReadDir(p.Extensions)
	if err != nil {
		return PHP{}, problem.Wrap(problem.Unavailable, err, "cannot read the extensions of PHP %s", p.Version).WithHint("%s", hint)
	}
	for _, e := range entries {
		if name, isExtension := strings.CutSuffix(e.Name(), ".so"); isExtension {
			p.Available = append(p.Available, name)
		}
	}
	if !slices.Contains(p.Available, "opcache") {
		return PHP{}, problem.New(problem.Unavailable, "cannot find the extension opcache in %s", p.Extensions).WithHint("%s", hint)
	}
	return p, nil
}

// library gives the file of an extension.
func (p PHP) library(extension string) string { return filepath.Join(p.Extensions, extension+".so") }
