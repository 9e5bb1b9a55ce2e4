package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"pantheon/gateways/api"
)

var dnsLine = regexp.MustCompile(`(?m)^  DNS +127\.0\.0\.1:(\d+) `)

// dnsPort gives the port of the name server as the newest start announced it.
func (p *platform) dnsPort(t *testing.T) string {
	t.Helper()
	found := dnsLine.FindAllStringSubmatch(p.log(), -1)
	if found == nil {
		t.Fatalf("the platform does not say where its name server is:\n%s", p.log())
	}
	return found[len(found)-1][1]
}

// requireTools skips without the tools that resolvers' people use.
func requireTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not there: go tool task setup-test", tool)
		}
	}
}

// tool runs a program and gives what it prints.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}

// dig asks the platform's name server.
func (p *platform) dig(t *testing.T, args ...string) string {
	t.Helper()
	return tool(t, "dig", append([]string{"@127.0.0.1", "-p", p.dnsPort(t), "+norecurse", "+time=5", "+tries=3"}, args...)...)
}

// TestNamesOfASite: a site's names are there with it and gone with it, and the
// zone of then can still be printed.
func TestNamesOfASite(t *testing.T) {
	requirePackages(t)
	requireTools(t, "dig", "kdig")
	p := startFor(t, options{args: []string{"--entry-address", "192.0.2.10,2001:db8::10"}})
	const name = "dev-named.pantheon.localhost"
	if out := p.dig(t, name, "A"); !strings.Contains(out, "status: NXDOMAIN") || !strings.Contains(out, "\tSOA\t") {
		t.Errorf("before the site is there:\n%s", out)
	}
	p.site(t, "named", "php", map[string]string{"index.php": helloPage})
	eventually(t, "the name is answered", func() bool { return p.dig(t, "+short", name, "A") == "192.0.2.10\n" })
	if out := p.dig(t, "+short", name, "AAAA"); out != "2001:db8::10\n" {
		t.Errorf("AAAA: %s", out)
	}
	// 0x20: the case of the question comes back.
	if out := p.dig(t, "+tcp", "DEV-Named.pantheon.LOCALHOST", "A"); !strings.Contains(out, ";DEV-Named.pantheon.LOCALHOST.") || !strings.Contains(out, "flags: qr aa;") {
		t.Errorf("over TCP, in another case:\n%s", out)
	}
	if out := tool(t, "kdig", "@127.0.0.1", "-p", p.dnsPort(t), "+short", name, "A"); out != "192.0.2.10\n" {
		t.Errorf("kdig: %s", out)
	}
	site := decode[api.Site](t, p, "site", "info", "named")
	database := fmt.Sprintf("dbserver.dev.%s.internal.pantheon.localhost", site.ID)
	if out := p.dig(t, "+short", database, "A"); !regexp.MustCompile(`^\d+(\.\d+){3}\n$`).MatchString(out) {
		t.Errorf("%s is %q", database, out)
	}
	all := p.commits(t)
	then := fmt.Sprint(uint64(all[len(all)-1].Position))

	p.ok(t, "site", "delete", "named", "--yes")
	eventually(t, "the name is gone", func() bool { return strings.Contains(p.dig(t, name, "A"), "status: NXDOMAIN") })
	if out := p.ok(t, "dns", "zone"); strings.Contains(out, name) {
		t.Errorf("the zone still has it:\n%s", out)
	}
	if out := p.ok(t, "dns", "zone", "--at", then); !strings.Contains(out, name+".\t") {
		t.Errorf("the zone as of position %s does not have it:\n%s", then, out)
	}
}

// TestSignedZone: a zone is signed from the start; other implementations
// validate its answers, with the DS alone, and a whole transfer of it; also
// after a restart and during a roll-over.
func TestSignedZone(t *testing.T) {
	requirePackages(t)
	requireTools(t, "dig", "delv", "dnssec-verify")
	p := startFor(t, options{})
	p.ok(t, "dns", "zone", "add", "example.org", "--name-server", "ns1.example.org=127.0.0.1")
	p.ok(t, "dns", "record", "add", "example.org", "www", "A", "192.0.2.1")
	if out := p.dig(t, "+short", "www.example.org", "A"); out != "192.0.2.1\n" {
		t.Errorf("a record that was just added: %q", out)
	}
	p.ok(t, "dns", "record", "add", "example.org", "*.wild", "TXT", "anything")
	p.ok(t, "dns", "record", "add", "example.org", "a.b.deep", "AAAA", "2001:db8::1")
	eventually(t, "the zone is signed", func() bool { return decode[api.Zone](t, p, "dns", "zone", "show", "example.org").Signed })
	p.validates(t)
	p.transfers(t)

	keys := p.ok(t, "dns", "key", "list", "example.org", "--field", "tag")
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	if again := p.ok(t, "dns", "key", "list", "example.org", "--field", "tag"); again != keys {
		t.Errorf("after a restart the keys are %q, before %q", again, keys)
	}
	p.validates(t)

	p.ok(t, "dns", "key", "roll", "example.org")
	eventually(t, "the keeper says what it waits for", func() bool {
		return strings.Contains(p.ok(t, "dns", "key", "list", "example.org"), "put its DS at the registrar")
	})
	if out := p.dig(t, "+short", "example.org", "CDS"); strings.Count(out, "\n") != 2 {
		t.Errorf("CDS in a roll-over:\n%s", out)
	}
	p.validates(t)
	tag := strings.Fields(p.ok(t, "dns", "key", "list", "example.org", "--field", "tag"))[1]
	p.ok(t, "dns", "key", "activate", "example.org", tag, "--yes")
	p.validates(t)
	p.transfers(t)
}

// validates has delv follow the chain from the DS records of today.
func (p *platform) validates(t *testing.T) {
	t.Helper()
	var anchors strings.Builder
	anchors.WriteString("trust-anchors {\n")
	for _, ds := range decode[[]api.DS](t, p, "dns", "ds", "example.org") {
		fmt.Fprintf(&anchors, "\texample.org. static-ds %d %d %d %q;\n", ds.Tag, ds.Algorithm, ds.DigestType, ds.Digest)
	}
	anchors.WriteString("};\n")
	file := filepath.Join(t.TempDir(), "anchors")
	if err := os.WriteFile(file, []byte(anchors.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"www.example.org A":          "; fully validated",
		"example.org SOA":            "; fully validated",
		"example.org DNSKEY":         "; fully validated",
		"any.wild.example.org TXT":   "; fully validated",
		"nothing.example.org A":      "; negative response, fully validated",
		"www.example.org MX":         "; negative response, fully validated",
		"b.deep.example.org A":       "; negative response, fully validated", // an empty non-terminal (RFC 8020)
		"nothing.wild.example.org A": "; negative response, fully validated",
	} {
		words := strings.Fields(question)
		out := tool(t, "delv", "@127.0.0.1", "-p", p.dnsPort(t), "-a", file, "+root=example.org", words[0], words[1])
		if !strings.Contains(out, want) {
			t.Errorf("delv %s:\n%s", question, out)
		}
	}
}

// transfers fetches the zone with a TSIG key and has BIND verify every NSEC
// and RRSIG of it.
func (p *platform) transfers(t *testing.T) {
	t.Helper()
	secret := strings.TrimSpace(p.ok(t, "dns", "tsig", "create", "second.example.net"))
	defer p.ok(t, "dns", "tsig", "remove", "second.example.net")
	p.ok(t, "dns", "secondary", "add", "example.org", "127.0.0.1", "--tsig", "second.example.net", "--no-notify")
	defer p.ok(t, "dns", "secondary", "remove", "example.org", "127.0.0.1")
	if out := p.dig(t, "example.org", "AXFR"); !strings.Contains(out, "Transfer failed") {
		t.Errorf("without the key:\n%s", out)
	}
	out := p.dig(t, "-y", "hmac-sha256:second.example.net:"+secret, "+onesoa", "+nocomments", "+nocmd", "+noquestion", "+nostats", "example.org", "AXFR")
	file := filepath.Join(t.TempDir(), "zone")
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "\tTSIG\t") {
			lines = append(lines, line)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	// -z: one key signs everything.
	if said := tool(t, "dnssec-verify", "-z", "-o", "example.org", file); !strings.Contains(said, "Zone fully signed") {
		t.Errorf("dnssec-verify:\n%s\n%s", said, out)
	}
}
