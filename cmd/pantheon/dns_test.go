package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pantheon/actors/zone"
	"pantheon/events"
	"pantheon/gateways/api"
	zones "pantheon/projections/zone"
)

func TestZoneCommands(t *testing.T) {
	p := startControlPlane(t)
	p.shows("dns zone list", "pantheon.localhost", "platform", "internal.pantheon.localhost")
	p.shows("dns zone add example.org --name-server ns1.example.org=192.0.2.53 --name-server ns2.example.net", "ns1.example.org, ns2.example.net")
	p.shows("dns zone show Example.ORG.", "custom")
	text, _ := p.run(0, "dns zone example.org")
	for _, line := range []string{
		"example.org.\t3600\tIN\tSOA\tns1.example.org. ", "example.org.\t3600\tIN\tNS\tns2.example.net.", "ns1.example.org.\t3600\tIN\tA\t192.0.2.53",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if again, _ := p.run(0, "dns zone text example.org"); again != text {
		t.Errorf("dns zone text prints\n%s", again)
	}
	p.shows("dns zone", "pantheon.localhost.\t3600\tIN\tSOA") // the platform's own

	p.run(65, "dns zone add example.org")
	p.run(64, "dns zone add bad..name")
	p.run(64, "dns zone add example.net --name-server ns1=1.2.3")
	_, said := p.run(66, "dns zone text nothing.example")
	if !strings.Contains(said, "hint: pantheon dns zone list") {
		t.Errorf("no such zone: %s", said)
	}
	if _, said = p.run(64, "dns zone lst"); !strings.Contains(said, "hint: pantheon dns zone list") {
		t.Errorf("a misspelt command: %s", said)
	}
	p.run(64, "dns zone remove example.org") // cannot ask
	p.run(0, "dns zone remove example.org --yes")
	p.run(66, "dns zone show example.org")
	p.run(66, "dns zone remove example.org --yes")
}

func TestRecordCommands(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "dns zone add example.org")
	p.run(0, "dns record add example.org www A 192.0.2.1 --ttl 5m")
	p.run(0, "dns record add example.org www.example.org A 192.0.2.2")
	p.run(0, "dns record add example.org @ mx 10 Mail.example.org.")
	p.run(0, "dns record add example.org txt.example.org. TXT v=spf1 ~all")
	if out, _ := p.run(0, "dns record list example.org --name www --field data"); out != "192.0.2.1\n192.0.2.2\n" {
		t.Errorf("www: %q", out)
	}
	p.shows("dns record list example.org --name www --fields ttl,origin", "300  operator")
	p.shows("dns record list example.org --type TXT", `"v=spf1 ~all"`)
	if out, _ := p.run(0, "dns record list example.org --origin platform --field type"); strings.Contains(out, "MX") || !strings.Contains(out, "SOA") {
		t.Errorf("the platform's own: %q", out)
	}

	p.run(64, "dns record add example.org www A nonsense")
	p.run(64, "dns record add example.org www.example.net. A 192.0.2.1")
	_, said := p.run(65, "dns record add example.org www CNAME other.example.org.")
	if !strings.Contains(said, "cannot ") || !strings.Contains(said, "hint: ") {
		t.Errorf("a CNAME beside addresses (RFC 2181 §10.1): %s", said)
	}
	p.run(66, "dns record add nothing.example www A 192.0.2.1")

	p.run(66, "dns record remove example.org www A 192.0.2.3")
	p.run(0, "dns record remove example.org www A 192.0.2.1")
	p.run(0, "dns record remove example.org @ MX 10 mail.EXAMPLE.org.")
	p.run(66, "dns record remove example.org @ SOA")
	if out, _ := p.run(0, "dns record list example.org --origin operator --field data"); out != "\"v=spf1 ~all\"\n192.0.2.2\n" {
		t.Errorf("left: %q", out)
	}
}

func TestWholeName(t *testing.T) {
	for given, want := range map[string]string{
		"@": "example.org", "www": "www.example.org", "WWW.example.org": "www.example.org", "example.org": "example.org",
		"www.example.net.": "www.example.net", "a.b": "a.b.example.org", "notexample.org": "notexample.org.example.org",
	} {
		if got := wholeName(given, "Example.org."); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}

// TestKeyCommands: the first key, a roll-over ended by hand, and what the
// parent shall have meanwhile. No private half leaves its file.
func TestKeyCommands(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "dns zone add example.org")
	if out, _ := p.run(0, "dns ds example.org --format json"); out != "[]\n" {
		t.Errorf("DS of an unsigned zone: %s", out)
	}
	if out, said := p.run(0, "dns ds example.org"); strings.Contains(out, "13") || !strings.Contains(said, "its first key is on its way") {
		t.Errorf("DS of an unsigned zone: %s %s", out, said)
	}
	p.shows("dns key roll example.org", "csk", "published")
	_, said := p.run(65, "dns key roll example.org")
	if !strings.Contains(said, "earlier roll is under way") || !strings.Contains(said, "hint: pantheon dns key list example.org") {
		t.Errorf("a second roll: %s", said)
	}
	first := p.tag("example.org", "published")
	p.run(64, "dns key activate example.org "+first) // cannot ask
	p.shows("dns key activate example.org "+first+" --yes", "active")
	p.shows("dns zone show example.org", "signed        yes")
	p.run(0, "dns key roll example.org")
	second := p.tag("example.org", "published")
	if out, _ := p.run(0, "dns ds example.org --field tag"); out != first+"\n"+second+"\n" {
		t.Errorf("DS in a roll-over: %q", out)
	}
	if out, _ := p.run(0, "dns ds example.org --field record"); !regexp.MustCompile(`^example\.org\. IN DS ` + first + ` 13 2 [0-9A-F]{64}\n`).MatchString(out) {
		t.Errorf("DS records: %q", out)
	}
	p.run(0, "dns key activate example.org "+second+" --yes")
	if p.tag("example.org", "retired") != first || p.tag("example.org", "active") != second {
		t.Error("the old key is not retired")
	}
	p.run(66, "dns key activate example.org 99999 --yes")
	p.run(65, "dns key activate example.org "+first+" --yes")
	p.hidden(filepath.Join("keys", "dns", "zones"), regexp.MustCompile(`PrivateKey: (\S+)`), 2)
}

// TestSigningCommands: a roll-over is given up, signing ends, and begins again
// where the platform would not by itself.
func TestSigningCommands(t *testing.T) {
	p := startControlPlane(t)
	p.startZones(dnsOptions{})
	p.run(0, "dns zone add example.org")
	p.shows("dns zone sign example.org", "example.org")
	p.run(0, "dns zone sign example.org") // and nothing else
	first := p.tag("example.org", "published")
	p.run(0, "dns key activate example.org "+first+" --yes")
	p.run(0, "dns key roll example.org")
	second := p.tag("example.org", "published")
	_, said := p.run(65, "dns key remove example.org "+first+" --yes")
	if !strings.Contains(said, "hint: pantheon dns key roll example.org replaces it, pantheon dns zone unsign example.org ends") {
		t.Errorf("a key that signs: %s", said)
	}
	p.run(64, "dns key remove example.org "+second) // cannot ask
	p.run(66, "dns key remove example.org 99999 --yes")
	p.run(0, "dns key remove example.org "+second+" --yes")
	if out, _ := p.run(0, "dns key list example.org --field tag"); out != first+"\n" {
		t.Errorf("keys after a roll-over that was given up: %q", out)
	}

	p.shows("dns zone unsign example.org", "until the parent's DS is gone")
	if out, said := p.run(0, "dns ds example.org --field record"); out != "" || !strings.Contains(said, "remove every DS record at the registrar") {
		t.Errorf("DS while it shall be unsigned: %q %q", out, said)
	}
	_, said = p.run(65, "dns key roll example.org")
	if !strings.Contains(said, "hint: pantheon dns zone sign example.org") {
		t.Errorf("a roll-over of a zone that shall be unsigned: %s", said)
	}
	p.run(0, "dns zone sign example.org") // taken back
	if out, _ := p.run(0, "dns ds example.org --field tag"); out != first+"\n" {
		t.Errorf("DS after it was taken back: %q", out)
	}
	p.run(64, "dns zone unsign example.org --now") // cannot ask
	p.shows("dns zone unsign example.org --now --yes", "signed        no")
	if out, said := p.run(0, "dns key list example.org --field tag"); out != "" {
		t.Errorf("keys of an unsigned zone: %q %q", out, said)
	}
	if _, said := p.run(0, "dns ds example.org"); !strings.Contains(said, "hint: pantheon dns zone sign example.org") {
		t.Errorf("DS of an unsigned zone: %q", said)
	}
	if _, said := p.run(0, "dns ds pantheon.localhost"); !strings.Contains(said, "no parent can vouch") {
		t.Errorf("DS of a zone below .localhost: %q", said)
	}
	p.run(0, "dns zone sign pantheon.localhost")
	p.tag("pantheon.localhost", "published")
}

// TestZoneSettings: what is set is answered at once, what is given back is the
// platform's again.
func TestZoneSettings(t *testing.T) {
	p := startControlPlane(t)
	p.startZones(dnsOptions{})
	p.run(0, "dns zone add example.org --name-server ns1.example.org=192.0.2.53")
	p.shows("dns zone set example.org --hostmaster dns@example.org --ttl 5m --primary hidden.example.org", "dns@example.org", "300")
	p.shows("dns zone set example.org --name-server ns2.example.net --name-server ns1.example.org=192.0.2.54", "ns2.example.net, ns1.example.org", "dns@example.org")
	text, _ := p.run(0, "dns zone example.org")
	for _, want := range []string{"hidden.example.org. dns.example.org. ", "ns1.example.org.\t3600\tIN\tA\t192.0.2.54"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	out, _ := p.run(0, "dns zone show example.org --format json")
	var zone api.Zone
	if err := json.Unmarshal([]byte(out), &zone); err != nil || zone.Chosen.Hostmaster != "dns@example.org" || zone.Chosen.TTLSeconds != 300 {
		t.Errorf("%s: %v", out, err)
	}
	p.shows(`dns zone set example.org --hostmaster= --name-server= --ttl 0`, "hostmaster@pantheon.localhost", "ns1.pantheon.localhost")

	p.shows("dns zone set internal.pantheon.localhost --service appserver/ssh=2222", "appserver/ssh=2222")
	p.run(64, "dns zone set example.org")
	p.run(64, "dns zone set example.org --hostmaster nobody")
	p.run(64, "dns zone set example.org --service ssh=2222")
	p.run(64, "dns zone set example.org --entry-address localhost")
	p.run(64, "dns zone set example.org --ttl -1s")
	p.run(66, "dns zone set nothing.example --ttl 1m")
}

// listening is a listener that only has an address.
type listening struct{ net.Listener }

func (listening) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// startZones does what a start does about the platform's own zones.
func (p *controlPlane) startZones(given dnsOptions) {
	p.t.Helper()
	given.internalDomain = "internal." + defaultDomain
	_, position := p.zones.Load()
	one := &platform{options: platformOptions{domain: defaultDomain, dns: given}, zones: p.zones, web: listening{}, started: time.Unix(int64(position), 0)}
	for _, c := range one.zoneBootstrap() {
		meta := events.Meta{Command: events.CommandID(c.key), Principal: "host/test", Gateway: zones.StartGateway, Time: time.Now()}
		receipt, err := p.system.Do(p.t.Context(), meta, c.to, c.command)
		if err == nil {
			err = p.zones.Wait(p.t.Context(), receipt.Tip.Position)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestStartSettings: a start does not undo what people set in the platform's
// zones, unless one of its flags says so.
func TestStartSettings(t *testing.T) {
	p := startControlPlane(t)
	settings := func() string {
		out, _ := p.run(0, "dns zone show pantheon.localhost --fields name_servers,entry,services,ttl --format csv")
		_, row, _ := strings.Cut(out, "\n")
		return strings.TrimSpace(row)
	}
	const http = "entry/http=8080"
	p.startZones(dnsOptions{})
	if want := "ns1.pantheon.localhost,127.0.0.1," + http + ",300"; settings() != want {
		t.Errorf("a first start: %s", settings())
	}
	p.run(0, "dns zone set pantheon.localhost --name-server ns.example.net --ttl 1m")
	p.startZones(dnsOptions{})
	if want := "ns.example.net,127.0.0.1," + http + ",60"; settings() != want {
		t.Errorf("a start after people: %s", settings())
	}
	p.startZones(dnsOptions{servers: []events.NameServer{{Name: "ns.example.com"}}, entry: []string{"192.0.2.80"}})
	if want := "ns.example.com,192.0.2.80," + http + ",60"; settings() != want {
		t.Errorf("a start with flags: %s", settings())
	}
	p.startZones(dnsOptions{}) // flags hold for one start
	if want := "ns1.pantheon.localhost,127.0.0.1," + http + ",60"; settings() != want {
		t.Errorf("a start without them: %s", settings())
	}
}

// tag gives the tag of the zone's only key in a state.
func (p *controlPlane) tag(zone, state string) string {
	p.t.Helper()
	out, _ := p.run(0, "dns key list "+zone+" --format json")
	var keys []api.ZoneKey
	if err := json.Unmarshal([]byte(out), &keys); err != nil {
		p.t.Fatal(err)
	}
	for _, key := range keys {
		if string(key.State) == state {
			return number(int(key.Tag))
		}
	}
	p.t.Fatalf("no key is %s: %s", state, out)
	return ""
}

// hidden wants the files of a folder to be the platform's alone, and nothing
// that a pattern finds in them to be in the log.
func (p *controlPlane) hidden(folder string, pattern *regexp.Regexp, count int) {
	p.t.Helper()
	log, _ := p.run(0, "events tail --format json")
	files, err := os.ReadDir(filepath.Join(p.data, folder))
	if err != nil || len(files) != count {
		p.t.Fatalf("%s has %d files, want %d (%v)", folder, len(files), count, err)
	}
	for _, file := range files {
		path := filepath.Join(p.data, folder, file.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			p.t.Fatal(err)
		}
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			p.t.Errorf("%s: mode %v (%v)", path, info.Mode(), err)
		}
		secret := pattern.FindStringSubmatch(string(text))
		if secret == nil || strings.Contains(log, secret[1]) {
			p.t.Errorf("%s has no secret, or it is in the log", path)
		}
	}
}

func TestSecondaryCommands(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "dns zone add example.org")
	secret, said := p.run(0, "dns tsig create NS2.example.net")
	if len(strings.TrimSpace(secret)) != 44 || !strings.Contains(said, "shown this once") {
		t.Errorf("a new TSIG key: %q %q", secret, said)
	}
	p.run(65, "dns tsig create ns2.example.net.")
	p.run(64, "dns tsig create ns3.example.net --algorithm hmac-md5")
	p.shows("dns tsig list", "ns2.example.net.", "hmac-sha256")
	if out, _ := p.run(0, "dns tsig list --format json"); strings.Contains(out, strings.TrimSpace(secret)) {
		t.Error("the list shows a secret")
	}

	p.run(66, "dns secondary add example.org 192.0.2.53 --tsig other.example.net")
	p.run(64, "dns secondary add example.org ns2.example.net")
	p.shows("dns secondary add example.org 192.0.2.53 --tsig ns2.example.net", "192.0.2.53", "ns2.example.net", "yes")
	p.run(0, "dns secondary add example.org 2001:db8::53 --no-notify")
	if out, _ := p.run(0, "dns secondary list example.org --fields address,notify --format csv"); !strings.Contains(out, "192.0.2.53,yes") || !strings.Contains(out, "2001:db8::53,no") {
		t.Errorf("secondaries: %q", out)
	}
	_, said = p.run(65, "dns tsig remove ns2.example.net")
	if !strings.Contains(said, "hint: pantheon dns secondary remove example.org 192.0.2.53") {
		t.Errorf("a key in use: %s", said)
	}
	p.run(0, "dns secondary remove example.org 192.0.2.53")
	p.run(0, "dns secondary remove example.org 2001:db8::53")
	p.hidden(filepath.Join("keys", "dns", "tsig"), regexp.MustCompile(`secret "(\S+)"`), 1)
	p.run(0, "dns tsig remove ns2.example.net")
	p.run(66, "dns tsig remove ns2.example.net")
}

func TestChallengeCommands(t *testing.T) {
	p := startControlPlane(t)
	p.run(0, "dns zone add example.org")
	p.shows("dns challenge present www.example.org one", "_acme-challenge.www.example.org", "one")
	p.run(0, "dns challenge present *.www.example.org two --lifetime 5m")
	p.shows("dns zone example.org", `TXT	"one"`, `TXT	"two"`)
	if out, _ := p.run(0, "dns challenge list --field value"); out != "one\ntwo\n" {
		t.Errorf("challenges: %q", out)
	}
	p.run(66, "dns challenge present www.example.net one")
	p.run(64, "dns challenge present www.example.org three --lifetime -1h")
	p.run(0, "dns challenge clear www.example.org one")
	p.run(66, "dns challenge clear www.example.org one")
	p.run(0, "dns challenge clear _acme-challenge.www.example.org")
	if out, _ := p.run(0, "dns challenge list --field value"); out != "" {
		t.Errorf("left: %q", out)
	}
}

// TestExpiredChallenges: what nobody cleared is cleared, once its time is over.
func TestExpiredChallenges(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	state := zones.Empty(zones.Options{Domain: "example.org"})
	state = state.Apply(events.Envelope{Commit: events.Commit{Stream: events.ZoneName("example.org").Stream(), Events: []events.Event{
		events.ChallengePresented{Zone: "example.org", Name: "_acme-challenge.a.example.org", Value: "over", Expires: now},
		events.ChallengePresented{Zone: "example.org", Name: "_acme-challenge.b.example.org", Value: "not yet", Expires: now.Add(time.Second)},
	}}, Position: 1})
	var cleared []zone.ClearChallenge
	for name, command := range expired(state, now) {
		if name != "example.org" || !command.Expired {
			t.Errorf("%s: %+v", name, command)
		}
		cleared = append(cleared, command)
	}
	if len(cleared) != 1 || cleared[0].Value != "over" {
		t.Errorf("cleared: %+v", cleared)
	}
}

func TestDNSFlags(t *testing.T) {
	for line, want := range map[string]string{
		"--dns nonsense":                                 "cannot use the address",
		"--internal-domain UPPER.example":                "cannot use the domain",
		"--domain a.example --internal-domain a.example": "it is the platform's",
		"--dns-internal-networks 10.0.0.0/99":            "it is no network",
		"--dns-name ns1..example":                        "as the name of a name server",
		"--dns-name ns1.example=1.2.3":                   "it is no IP address",
		"--entry-address localhost":                      "it is no IP address",
		"--dns-resolver localhost":                       "as the address of a server",
	} {
		p := &controlPlane{t: t, data: filepath.Join(t.TempDir(), "data")}
		if _, said := p.run(64, "up "+line); !strings.Contains(said, want) || !strings.Contains(said, "hint: ") {
			t.Errorf("%s: %s", line, said)
		}
		if _, err := os.Stat(p.data); err == nil {
			t.Errorf("%s: a data folder was made", line)
		}
	}
}
