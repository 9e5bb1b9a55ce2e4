package yggdrasil_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/gateways/yggdrasil"
)

// tool runs one of the distribution's, or skips the test.
func tool(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed: go tool task setup-test", name)
		}
	}
	out, err := exec.Command(path, arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v", name, strings.Join(arguments, " "), err)
	}
	return string(out)
}

func (g *game) port() string {
	_, port, err := net.SplitHostPort(g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	return port
}

// dig, kdig and drill get what they ask for, over UDP, TCP, with a cookie, NSID
// and TSIG.
func TestQueryTools(t *testing.T) {
	l := exampleLog()
	secondary(l, keyText)
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Keyring = oneKey{} })
	at := "@127.0.0.1"
	const key = "hmac-sha256:" + keyText + ":c2VjcmV0"
	for _, c := range []struct {
		tool      string
		arguments []string
		wants     []string
	}{
		{"dig", []string{at, "-p", g.port(), "www.example.org", "+norec"}, []string{"status: NOERROR", "flags: qr aa;", "COOKIE: ", "(good)", "192.0.2.4"}},
		{"dig", []string{at, "-p", g.port(), "nothing.example.org", "+tcp", "+nsid"}, []string{"status: NXDOMAIN", "ygg-1", "SOA"}},
		{"dig", []string{at, "-p", g.port(), "-y", key, "example.org", "AXFR"}, []string{"deep.ent.example.org.", "_ssh._tcp.example.org.", "hmac-sha256"}},
		{"dig", []string{at, "-p", g.port(), "-y", key, "example.org", "SOA"}, []string{"NOERROR 0", "status: NOERROR"}},
		{"dig", []string{at, "-p", g.port(), "example.org", "AXFR"}, []string{"Transfer failed"}},
		{"dig", []string{at, "-p", g.port(), "example.com", "+norec"}, []string{"status: REFUSED", "EDE: 20"}},
		{"dig", []string{at, "-p", g.port(), "+ednsflags=0x80", "+edns=1", "+noednsneg", "example.org", "SOA"}, []string{"BADVERS"}},
		{"kdig", []string{at, "-p", g.port(), "+norec", "+edns", "host.wild.example.org", "MX"}, []string{"status: NOERROR", "10 mail.example.org."}},
		{"kdig", []string{at, "-p", g.port(), "-y", key, "example.org", "AXFR"}, []string{"deep.ent.example.org.", "hmac-sha256"}},
		{"kdig", []string{at, "-p", g.port(), "-y", key, "example.org", "IXFR=0"}, []string{"deep.ent.example.org."}},
		{"kdig", []string{at, "-p", g.port(), "+tcp", "+keepopen", "web.example.org", "A", "child.example.org", "NS"}, []string{"192.0.2.3", "ns.child.example.org."}},
		{"drill", []string{"-p", g.port(), "ent.example.org", at, "A"}, []string{"NOERROR", "ANSWER: 0", "SOA"}},
		{"drill", []string{"-p", g.port(), "deep.child.example.org", at, "A"}, []string{"ns.child.example.org.", "192.0.2.7"}},
	} {
		out := tool(t, c.tool, c.arguments...)
		for _, want := range c.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s %s lacks %q:\n%s", c.tool, strings.Join(c.arguments, " "), want, out)
			}
		}
	}
}

// The signed zone as a secondary gets it is whole and verifies (RFC 4035,
// RFC 5155's NSEC alternative is not used): ldns-verify-zone looks at every
// signature and at the NSEC chain, named-checkzone at the records.
func TestSignedTransferVerifies(t *testing.T) {
	l := newLog()
	signer := withKeys(t, l)
	secondary(l, "")
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
	all, err := g.transfer(axfr(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	var zone strings.Builder
	for _, rr := range all[:len(all)-1] {
		fmt.Fprintln(&zone, rr)
	}
	file := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(zone.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := tool(t, "ldns-verify-zone", file); !strings.Contains(out, "Zone is verified and complete") {
		t.Errorf("ldns-verify-zone: %s", out)
	}
	if out := tool(t, "named-checkzone", "-i", "none", "example.org", file); !strings.Contains(out, "OK") {
		t.Errorf("named-checkzone: %s", out)
	}
	if out := tool(t, "dnssec-verify", "-z", "-o", "example.org", file); strings.Contains(strings.ToLower(out), "fail") {
		t.Errorf("dnssec-verify: %s", out)
	}
	// IXFR of a signed zone is the whole zone (RFC 1995 §4).
	whole, err := g.transfer(ixfr(l.Zones().Named(apex).Serial()-1), nil)
	if err != nil || len(whole) != len(all) {
		t.Errorf("IXFR: %d records of %d, %v", len(whole), len(all), err)
	}
}

// BIND's validator believes every kind of answer, denials above all (RFC 4035
// §5.4).
func TestValidates(t *testing.T) {
	l := newLog()
	signer := withKeys(t, l)
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
	key := ""
	for _, rr := range g.ask("example.org DNSKEY", true).Answer {
		fields := strings.Fields(rr.String())
		key = fmt.Sprintf("example.org. static-key %s %s %s %q;", fields[4], fields[5], fields[6], strings.Join(fields[7:], ""))
	}
	anchors := filepath.Join(t.TempDir(), "anchors")
	if err := os.WriteFile(anchors, []byte("trust-anchors { "+key+" };\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"web.example.org A":             "fully validated",
		"www.example.org A":             "fully validated",
		"host.wild.example.org A":       "fully validated",
		"any.wcname.example.org A":      "fully validated",
		"example.org DNSKEY":            "fully validated",
		"secure.example.org DS":         "fully validated",
		"nothing.example.org A":         "negative response, fully validated",
		"zzz.example.org A":             "negative response, fully validated",
		"a.b.c.web.example.org A":       "negative response, fully validated",
		"web.example.org AAAA":          "negative response, fully validated",
		"ent.example.org A":             "negative response, fully validated",
		"nothing.ent.example.org A":     "negative response, fully validated",
		"host.wild.example.org TXT":     "negative response, fully validated",
		"host.entwild.example.org A":    "negative response, fully validated",
		"child.example.org DS":          "negative response, fully validated",
		"below.here.wild.example.org A": "negative response, fully validated",
	} {
		name, rrtype, _ := strings.Cut(question, " ")
		out := tool(t, "delv", "@127.0.0.1", "-p", g.port(), "-a", anchors, "+root=example.org", name, rrtype)
		if !strings.Contains(out, want) {
			t.Errorf("%s: delv says\n%s", question, out)
		}
	}
}
