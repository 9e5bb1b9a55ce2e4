package drop

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/contract"
)

var update = flag.Bool("update", false, "write the golden files anew")

var goldenPHP = PHP{
	Version: "8.2", FPM: "/usr/sbin/php-fpm8.2", CLI: "/usr/bin/php8.2", Extensions: "/usr/lib/php/20220829",
	Available: []string{"opcache", "mysqlnd", "pdo", "xml", "apcu", "ctype", "curl", "dom", "exif", "fileinfo", "gd", "iconv",
		"intl", "mbstring", "mysqli", "pdo_mysql", "phar", "posix", "readline", "simplexml", "tokenizer", "xmlreader", "xmlwriter", "zip"},
}

func goldenSpec(f events.Framework) (events.DropSpec, Paths) {
	const drop = "0123456789abcdef0123456789abcdef"
	return events.DropSpec{
			Generation: 3, Environment: events.EnvironmentOf(testSite, "dev"), SiteName: "hello", Framework: f,
			UID: events.FirstUID + 7, Commit: "7c5d1f0b9e8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d", Deployment: 12, Seed: 1,
			Settings: events.EnvironmentSettings{PHPVersion: "8.2", Connection: events.ConnectionGit, Workers: 8, MemoryMiB: 768},
			Services: []events.BoundService{{Kind: events.DBServer, Binding: "fedcba9876543210fedcba9876543210"}},
		}, Paths{Drop: drop, Dir: "/data/hosts/h/drops/" + drop, Places: Places{
			Code: "/data/code/s/releases/7c5d", Files: "/data/files/dev", DatabaseSocket: "/data/services/mariadb/run/mysqld.sock"}}
}

func TestConfigureGolden(t *testing.T) {
	for _, c := range []struct {
		name      string
		framework events.Framework
		isolated  bool
		change    func(*events.DropSpec)
	}{
		{"drupal", events.Drupal, true, nil},
		{"drupal8-web", events.Drupal8, true, func(s *events.DropSpec) { s.Settings.WebDocroot = true }},
		{"wordpress-sftp", events.WordPress, true, func(s *events.DropSpec) { s.Settings.Connection = events.ConnectionSFTP }},
		{"php-bare", events.PHP, false, func(s *events.DropSpec) { s.Settings.Workers, s.Settings.MemoryMiB = 0, 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, paths := goldenSpec(c.framework)
			if c.change != nil {
				c.change(&spec)
			}
			secrets := contract.Derive("db-password", func(purpose string) string { return "<" + purpose + ">" })
			got, err := Configure(spec, paths, secrets, goldenPHP, c.isolated)
			if err != nil {
				t.Fatal(err)
			}
			// The prepend is part of the key and changes more often than this.
			golden(t, c.name+".txt", strings.ReplaceAll(show(got), cacheKey(spec, goldenPHP), "<key>"))
			for name, text := range got.Files {
				if strings.Contains(text, "db-password") || strings.Contains(text, "wordpress-auth") {
					t.Errorf("%s holds a secret", name)
				}
			}
			for _, arg := range slices.Concat(got.Args, got.Warm) {
				if strings.Contains(arg, "db-password") {
					t.Errorf("argument %s holds a secret", arg)
				}
			}
		})
	}
}

// show writes a configuration for people; links that differ between
// distributions and the prepend, which has tests of its own, are left out.
func show(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "docroot %s\nhostname %s\nlimits %+v\nrun %s %s\n", c.Docroot, c.Hostname, c.Limits, c.Program, strings.Join(c.Args, " "))
	b.WriteString("\nfolders\n")
	for _, f := range c.Folders {
		fmt.Fprintf(&b, "%04o owned=%-5v %s\n", f.Mode, f.Owned, f.Path)
	}
	fmt.Fprintf(&b, "\nroot %s\n", c.Root.Dir)
	for _, bind := range c.Root.Binds {
		if strings.HasPrefix(bind.Source, "/data/") {
			fmt.Fprintf(&b, "writable=%-5v noexec=%-5v %s ← %s\n", bind.Writable, bind.NoExec, bind.Target, bind.Source)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		text := c.Files[name]
		if strings.HasSuffix(name, ".php") || strings.Count(name, "/") == 1 {
			continue
		}
		fmt.Fprintf(&b, "\n-- %s --\n%s\n", name, strings.TrimSuffix(text, "\n"))
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "configure", name)
	if *update {
		os.MkdirAll(filepath.Dir(file), 0o755)
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs: run with -update and look at the difference. Got\n%s", file, got)
	}
}

func TestCacheBelongsToRelease(t *testing.T) {
	spec, _ := goldenSpec(events.Drupal)
	key := cacheKey(spec, goldenPHP)
	same := spec
	same.Generation, same.Seed = 9, 9
	if cacheKey(same, goldenPHP) != key {
		t.Error("a new seed empties the opcode cache")
	}
	for what, change := range map[string]func(*events.DropSpec, *PHP){
		"commit":     func(s *events.DropSpec, _ *PHP) { s.Commit = "other" },
		"connection": func(s *events.DropSpec, _ *PHP) { s.Settings.Connection = events.ConnectionSFTP },
		"version":    func(_ *events.DropSpec, p *PHP) { p.Version = "8.3" },
	} {
		s, p := spec, goldenPHP
		change(&s, &p)
		if cacheKey(s, p) == key {
			t.Errorf("the opcode cache survives a new %s", what)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*events.DropSpec, *Paths)
		kind   problem.Kind
	}{
		"a relative folder":       {func(_ *events.DropSpec, p *Paths) { p.Code = "code" }, problem.Invalid},
		"a folder with quotation": {func(_ *events.DropSpec, p *Paths) { p.Dir = "/a\"b" }, problem.Invalid},
		"root":                    {func(s *events.DropSpec, _ *Paths) { s.UID = 0 }, problem.Internal},
		"no DROP":                 {func(_ *events.DropSpec, p *Paths) { p.Drop = "x" }, problem.Internal},
	} {
		spec, paths := goldenSpec(events.Drupal)
		c.change(&spec, &paths)
		if _, err := Configure(spec, paths, contract.Secrets{}, goldenPHP, true); err == nil || problem.KindOf(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := FindPHP("5.2"); problem.KindOf(err) != problem.Invalid {
		t.Errorf("PHP 5.2: %v", err)
	}
}
