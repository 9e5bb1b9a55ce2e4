package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusals: what people get wrong is said in one line, with a hint and the
// exit code of its kind.
func TestRefusals(t *testing.T) {
	p := shared(t)
	source := folder(t, map[string]string{"index.php": helloPage})
	gone := folder(t, map[string]string{"index.php": helloPage})
	p.ok(t, "upstream", "add", "ref-plain", source, "--framework", "php")
	p.ok(t, "upstream", "add", "ref-gone", gone)
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "upstream", "add", "ref-refused", "https://127.0.0.1:1/x.git")
	p.ok(t, "site", "create", "ref-taken", "--upstream", "ref-plain")
	for _, c := range []struct {
		code  int
		texts []string
		line  string
	}{
		{65, []string{"name ref-taken is taken"}, "site create ref-taken --upstream ref-plain"},
		{64, []string{"lower-case letters", "hint: "}, "site create Ref_Bad --upstream ref-plain"},
		{64, []string{"hint: "}, "site create ref--bad- --upstream ref-plain"},
		{64, nil, "site create " + strings.Repeat("a", 60) + " --upstream ref-plain"},
		{64, nil, "site create ../../etc --upstream ref-plain"},
		{66, []string{"upstream", "hint: "}, "site create ref-new --upstream nothing"},
		{64, []string{"without --upstream", "hint: "}, "site create ref-new"},
		{69, []string{"cannot finish workflow", "hint: "}, "site create ref-new --upstream ref-gone"},
		{69, []string{"cannot finish workflow", "hint: "}, "site create ref-new --upstream ref-refused"},
		{66, []string{"does not exist", "hint: "}, "upstream add ref-bad /nowhere/at/all"},
		{66, []string{"cannot find site"}, "site info ref-new"},
		{66, []string{"cannot find"}, "env info ref-taken.nothing"},
		{65, []string{"not initialized"}, "env wake ref-taken.live"},
		{64, []string{"outside 1 to 64"}, "env set ref-taken.dev --workers 0"},
		{64, nil, "env set ref-taken.dev --workers many"},
		{64, nil, "env set ref-taken.dev --memory-mib 1"},
		{64, nil, "env set ref-taken.dev --connection telepathy"},
		{64, []string{"add --yes"}, "site delete ref-taken"},
		{65, nil, "upstream add ref-plain " + source},
		{66, []string{"does not exist"}, "upstream add ref-bad relative/path"},
		{64, nil, "upstream add ref-bad https://user:secret@example.org/x.git"},
		{64, []string{"only https, ssh, git, file"}, "upstream add ref-bad http://127.0.0.1:1/x.git"},
		{64, []string{"no command"}, "site explode"},
		{64, []string{"hint: "}, "site list --nonsense"},
		{64, nil, "site list --format xml"},
		{64, []string{"yaml"}, "site list --fields yaml"},
		{64, nil, "events show zero"},
		{66, nil, "events show 99999999"},
		{64, nil, "up --log-level loud"},
		{64, nil, "up --domain Bad..Domain"},
		{64, nil, "up --memory -5"},
	} {
		p.refused(t, c.code, c.texts, strings.Fields(c.line)...)
	}
	// A name whose creation failed is free again, and nothing of it is left.
	p.ok(t, "site", "create", "ref-new", "--upstream", "ref-plain")
	p.visitor("ref-new").sees(t, 200, "/", "hello")
	if names := p.ok(t, "site", "list", "--field", "name"); strings.Count(names, "ref-new") != 1 {
		t.Errorf("sites: %s", names)
	}
}

// TestUnknownSite: whatever host a visitor names, there is an answer.
func TestUnknownSite(t *testing.T) {
	p := shared(t)
	p.site(t, "known", "php", map[string]string{"index.php": helloPage})
	for _, host := range []string{
		"dev-nothing.pantheon.localhost", "prod-known.pantheon.localhost", "known.pantheon.localhost", "pantheon.localhost", "localhost",
		"127.0.0.1", "dev-known.example.com", "dev-known.pantheon.localhost.evil.example", "-known.pantheon.localhost",
	} {
		if answer := rawGet(t, p, host, "/"); !strings.HasPrefix(answer, "HTTP/1.1 404 ") || !strings.Contains(answer, "404 Unknown Site") {
			t.Errorf("%s: %.300s", host, answer)
		}
	}
	if answer := rawGet(t, p, "live-known.pantheon.localhost", "/"); !strings.HasPrefix(answer, "HTTP/1.1 561 No Site Detected") {
		t.Errorf("an environment that is not initialised: %.300s", answer)
	}
	for _, host := range []string{"DEV-known.Pantheon.LOCALHOST", "dev-known.pantheon.localhost.", "dev-known.pantheon.localhost:1"} {
		if answer := rawGet(t, p, host, "/"); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("%s is a way to write it: %.300s", host, answer)
		}
	}
}

// TestStartRefusals: a platform that cannot run says why and leaves nothing.
func TestStartRefusals(t *testing.T) {
	p := shared(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		data  string
		code  int
		texts []string
		args  []string
	}{
		{"a data folder in use", p.data, 65, []string{"another pantheon runs on", "hint: "}, []string{"--http", "127.0.0.1:0"}},
		{"a port in use", dataFolder(t), 69, []string{"cannot listen on " + busy.Addr().String(), "hint: "}, []string{"--http", busy.Addr().String()}},
		{"an API port in use", dataFolder(t), 69, []string{"cannot listen on", "--api-listen"}, []string{"--http", "127.0.0.1:0", "--api-listen", busy.Addr().String()}},
		{"no address", dataFolder(t), 64, []string{"hint: "}, []string{"--http", "nonsense"}},
		{"a path that is too long", filepath.Join(base, strings.Repeat("long", 20)), 64, []string{"its path has", "hint: "}, []string{"--http", "127.0.0.1:0"}},
		{"a file for a data folder", file, 69, []string{"cannot use the data folder", "hint: "}, []string{"--http", "127.0.0.1:0"}},
	} {
		one := &platform{options: options{data: c.data}}
		checkRefusal(t, c.what, one.run(append([]string{"up"}, c.args...)...), c.code, c.texts)
		if left := one.leftovers(); one.data != p.data && len(left) > 0 {
			t.Errorf("%s: left %v", c.what, left)
		}
	}
	nobody := &platform{options: options{data: dataFolder(t)}}
	nobody.refused(t, 69, []string{"cannot reach the platform", "hint: "}, "site", "list")
	if _, err := os.Stat(nobody.data); !os.IsNotExist(err) {
		t.Errorf("asking has made a data folder: %v", err)
	}
}

// TestMissingPrograms: where the machine lacks something, `up` and `doctor`
// name the line that installs it. The folder of php-fpm and MariaDB is hidden
// from the command, and from nobody else, by an empty one over it.
func TestMissingPrograms(t *testing.T) {
	requireSandbox(t)
	data := dataFolder(t)
	for _, args := range [][]string{{"doctor"}, {"up", "--http", "127.0.0.1:0"}} {
		var out, said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "sh", "-c", `mount -t tmpfs none /usr/sbin && exec "$@"`, "-", binary}, args...)...)
		cmd.Env = append(os.Environ(), "PANTHEON_DATA="+data)
		cmd.Stdout, cmd.Stderr = &out, &said
		_ = cmd.Run() // the exit code says it
		refused := ran{out.String(), said.String(), cmd.ProcessState.ExitCode()}
		checkRefusal(t, strings.Join(args, " "), refused, 69, []string{"hint: apt-get install -y ", "mariadb-server", "php8.2-fpm"})
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the refused start has made a data folder: %v", err)
	}
}
