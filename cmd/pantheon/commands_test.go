package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/actors"
	"pantheon/actors/account"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/eventlog/memory"
	"pantheon/events/eventlog/sealed"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/projections/zone"
	"pantheon/runtime/code"
	"pantheon/runtime/keys"
)

// controlPlane is a platform without machines: actors, inventory and the API
// gateway on a log in memory. What needs no DROP can be tried against it.
type controlPlane struct {
	t    *testing.T
	data string
	tcp  string

	system    *actors.System
	view      *projections.View[inventory.State]
	zones     *projections.View[*zone.State]
	forgetter forgetter
}

func startControlPlane(t *testing.T, changes ...func(*api.Options)) *controlPlane {
	t.Helper()
	const operator events.AccountID = "00000000-0000-4000-8000-000000000001"
	p := &controlPlane{t: t, data: t.TempDir()}
	quiet := slog.New(slog.DiscardHandler)
	log := memory.New()
	ring, err := keys.Open(filepath.Join(p.data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	box := sealed.NewBox(sealingKeys{ring})
	system, err := actors.New(actors.Options{Log: sealed.NewLog(log, box), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	runner := projections.NewRunner(projections.Options{Log: log, Logger: quiet})
	view := projections.Add(runner, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version})
	p.forgetter = forgetter{box, system, view, "0000000000000000000000000000000a"}
	dns := &platform{system: system, options: platformOptions{
		data: p.data, domain: defaultDomain, dns: dnsOptions{internalDomain: "internal." + defaultDomain}, logger: quiet,
	}}
	dns.zones = projections.Add(runner, dns.zoneView())
	if err := dns.openNameServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	options := api.Options{
		Commander: system, Inventory: view, Log: log, Operator: operator, Key: make([]byte, 32), Logger: quiet, Version: "test",
		CheckSource: code.CheckSource, Unseal: box.Open,
		Forget: p.forgetter.forget,
		Zones:  dns.zones, ZoneKeys: zoneKeys{dns.names.keeper, dns.names.keys}, TSIGKeys: tsigKeys{ring: dns.names.keys},
	}
	for _, change := range changes {
		change(&options)
	}
	gateway, err := api.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(p.data, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	unix, err := api.ListenUnix(filepath.Join(p.data, "run", "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.tcp = "http://" + tcp.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) })
	all.Go(func() { _ = gateway.Run(ctx, unix, tcp) })
	t.Cleanup(func() { cancel(); all.Wait(); _ = system.Close(); _ = log.Close() })
	p.system, p.view, p.zones = system, view, dns.zones
	p.do("bootstrap", operator.Stream(), account.Register{Account: operator, Kind: events.AccountOperator, Name: "Operator"})
	return p
}

// do carries out a command that no gateway offers.
func (p *controlPlane) do(key string, to events.StreamID, command any) {
	p.t.Helper()
	meta := events.Meta{Command: events.CommandID(key), Principal: "policy/test", Time: time.Now()}
	receipt, err := p.system.Do(p.t.Context(), meta, to, command)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.view.Wait(p.t.Context(), receipt.Tip.Position); err != nil {
		p.t.Fatal(err)
	}
}

func (p *controlPlane) register(name string) {
	p.t.Helper()
	id := events.HostID(randomID())
	p.do("register "+name, id.Stream(), host.Register{Host: id, Name: name, MemoryMiB: 4096, Cores: 2})
}

// run carries out one command line, written as a person would, and wants the
// exit code.
func (p *controlPlane) run(code int, line string, environment ...string) (out, errors string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &stdout, errors: &stderr, getenv: func(name string) string {
		for _, variable := range append(environment, "PANTHEON_DATA="+p.data) {
			if value, found := strings.CutPrefix(variable, name+"="); found {
				return value
			}
		}
		return ""
	}}
	if got := c.run(p.t.Context(), strings.Fields(line)); got != code {
		p.t.Fatalf("pantheon %s: exit code %d, want %d\n%s%s", line, got, code, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

// shows is run, and wants the output to hold each text.
func (p *controlPlane) shows(line string, texts ...string) {
	p.t.Helper()
	out, _ := p.run(0, line)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			p.t.Errorf("pantheon %s prints\n%swithout %q", line, out, text)
		}
	}
}

func TestUpstreamCommands(t *testing.T) {
	p := startControlPlane(t)
	p.shows("upstream add wordpress /usr/share --framework wordpress", "wordpress", "/usr/share")
	p.shows("upstream add other https://example.org/other.git --branch main --label Other", "main")
	p.shows("upstream list", "NAME", "other", "wordpress")
	p.shows("upstream list --format json --fields name", `"name": "other"`)
	_, said := p.run(65, "upstream add other /usr")
	if !strings.Contains(said, "the name is taken") || !strings.Contains(said, "hint: ") {
		t.Errorf("a taken name: %s", said)
	}
	p.run(64, "upstream add bad https://user:secret@example.org/x.git")
	p.run(64, "upstream add bad /usr --framework cobol")
	p.run(0, "upstream remove other")
	p.run(66, "upstream remove other")
	if out, _ := p.run(0, "upstream list --field name"); out != "wordpress\n" {
		t.Errorf("upstreams left: %q", out)
	}
}

// TestUpstreamThatCannotWork: each was taken, and failed in every site that was
// made from it.
func TestUpstreamThatCannotWork(t *testing.T) {
	p := startControlPlane(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for location, code := range map[string]int{
		"http://example.org/x.git": 64, "ftp://example.org/x.git": 64, "svn+ssh://example.org/x": 64,
		"/nowhere": 66, "nowhere": 66, "file:///nowhere.git": 66, file: 64, "/usr/share --branch main": 64,
	} {
		if _, said := p.run(code, "upstream add x "+location); !strings.Contains(said, "cannot ") {
			t.Errorf("%s: %s", location, said)
		}
	}
	p.shows("upstream add short git@example.org:x/y.git --field repository", "git@example.org:x/y.git")
	p.shows("upstream add --help", "replaced by copies", "every user of the machine may read")
}

// TestInterruptedWait: an interrupt looked as if it ended the site's creation.
func TestInterruptedWait(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "upstream add wordpress /usr --framework wordpress")
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	c := &cli{in: strings.NewReader(""), out: &said, errors: &said, getenv: func(string) string { return "" }}
	ended := make(chan int)
	go func() {
		ended <- c.run(ctx, []string{"site", "create", "blog", "--upstream", "wordpress", "--data", p.data})
	}()
	var id string
	if err := poll(t.Context(), func() (bool, error) {
		out, _ := p.run(0, "workflow list --field id")
		id = strings.TrimSpace(out)
		return id != "", nil
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if code := <-ended; code != 130 {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{"goes on", "pantheon workflow info " + id, "pantheon workflow wait " + id} {
		if !strings.Contains(said.String(), text) {
			t.Errorf("no %q in %s", text, said.String())
		}
	}
}

func TestOnlyHost(t *testing.T) {
	p := startControlPlane(t)
	p.run(64, "host info")
	p.register("one")
	p.shows("host info", "name", "one")
	p.shows("host info one", "one")
	p.register("two")
	if _, said := p.run(64, "host info"); !strings.Contains(said, "there are 2") || !strings.Contains(said, "hint: pantheon host list") {
		t.Errorf("two hosts: %s", said)
	}
}

func TestTokenCommands(t *testing.T) {
	p := startControlPlane(t)
	token, said := p.run(0, "token create --device laptop --expires-in 1h")
	if len(strings.TrimSpace(token)) != 43 || !strings.Contains(said, "for laptop; it is shown this once") {
		t.Fatalf("token %q, said %q", token, said)
	}
	remote := []string{"PANTHEON_API=" + p.tcp, "PANTHEON_TOKEN=" + strings.TrimSpace(token)}
	p.run(0, "host list", remote...)
	p.run(77, "host list", remote[0], "PANTHEON_TOKEN=nonsense")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(0, "host list --token-file "+file, remote[0])
	id, _ := p.run(0, "token list --field id")
	p.run(0, "token revoke "+id)
	p.run(77, "host list", remote...)
	p.run(66, "token revoke "+id)
}

func TestAccountsAndTheirSites(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "upstream add wordpress /usr/share --framework wordpress")
	alice, _ := p.run(0, "account create Alice --email alice@example.org --field id")
	alice = strings.TrimSpace(alice)
	token, _ := p.run(0, "token create --account "+alice)
	remote := []string{"PANTHEON_API=" + p.tcp, "PANTHEON_TOKEN=" + strings.TrimSpace(token)}
	p.run(77, "account list", remote...)
	p.run(77, "events tail", remote...)
	workflow, _ := p.run(0, "site create blog --upstream wordpress --no-wait", remote...)
	workflow = strings.TrimSpace(workflow)
	out, _ := p.run(0, "workflow list --fields id,type,site,result", remote...)
	if !strings.Contains(out, workflow+"  create_site  blog  running") {
		t.Errorf("workflows:\n%s", out)
	}
	p.shows("workflow info "+workflow, "claim name: running", "activate site: waiting")
	p.shows("account list", "Alice", "alice@example.org", "operator")
	p.run(66, "workflow info 00000000-0000-4000-8000-000000000000", remote...)
	_, said := p.run(64, "site create Blog --upstream wordpress")
	if !strings.Contains(said, "lower-case letters") || !strings.Contains(said, "hint: choose a name like my-blog") {
		t.Errorf("a bad name: %s", said)
	}
	p.run(66, "site create other --upstream none")
	p.run(66, "site info blog")
	p.run(66, "site delete blog --yes")
}

func TestEventCommands(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "upstream add wordpress /usr/share --framework wordpress")
	p.shows("events tail", "POSITION", "AccountRegistered", "UpstreamAdded", "account/00000000")
	if out, _ := p.run(0, "events tail --type UpstreamAdded --field position"); out != "2\n" {
		t.Errorf("UpstreamAdded at %q", out)
	}
	if out, _ := p.run(0, "events tail --stream account --principal policy --since 1h --limit 5 --field events"); out != "AccountRegistered\n" {
		t.Errorf("policies decided %q", out)
	}
	p.shows("events show 2", "gateway    cli", `"name": "wordpress"`, "UpstreamAdded")
	p.run(66, "events show 99")
	p.run(64, "events tail --type Nonsense")
	p.run(64, "events tail --limit 5000")
}

// TestEventsFollow reads the stream while events come, and ends as a person
// would: interrupted.
func TestEventsFollow(t *testing.T) {
	p := startControlPlane(t)
	lines := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	c := &cli{in: strings.NewReader(""), out: lineWriter(lines), errors: &bytes.Buffer{}, getenv: func(string) string { return "" }}
	ended := make(chan int)
	go func() { ended <- c.run(ctx, []string{"events", "tail", "--follow", "--data", p.data}) }()
	if line := <-lines; !strings.Contains(line, "AccountRegistered") {
		t.Errorf("first %q", line)
	}
	p.run(0, "upstream add wordpress /usr/share --framework wordpress")
	if line := <-lines; !strings.Contains(line, "UpstreamAdded") {
		t.Errorf("then %q", line)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

type lineWriter chan<- string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestMissingThings(t *testing.T) {
	p := startControlPlane(t)
	p.shows("host list", "NAME", "ISOLATION")
	if out, _ := p.run(0, "drop list --format json"); out != "[]\n" {
		t.Errorf("no DROPs: %q", out)
	}
	for _, line := range []string{
		"site info nothing", "env list nothing", "env info nothing.dev", "env wake nothing.dev", "env sleep nothing dev",
		"env set nothing.dev --workers 3", "host info nothing", "drop info nothing", "drop list nothing", "binding list nothing.dev",
	} {
		_, said := p.run(66, line)
		if !strings.HasPrefix(said, "pantheon: cannot find ") {
			t.Errorf("pantheon %s says %q", line, said)
		}
	}
	p.run(64, "env set nothing.dev")
}
