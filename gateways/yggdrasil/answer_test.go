package yggdrasil_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pantheon/gateways/yggdrasil"
)

var update = flag.Bool("update", false, "write the answers of the scripts again")

// Each script asks the example zone: a line with a question mark is a question,
// the lines below it are the answer over UDP. Comments name the RFC that the
// questions below them are about.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		file   string
		signed bool
	}{{"plain.txt", false}, {"signed.txt", true}} {
		t.Run(c.file, func(t *testing.T) {
			l := newLog()
			var signer yggdrasil.Signer
			if c.signed {
				signer = withKeys(t, l)
			}
			g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
			g.script(filepath.Join("testdata", c.file))
		})
	}
}

func (g *game) script(file string) {
	g.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	var out, want []string
	question, asked := "", 0
	check := func() {
		if question == "" {
			return
		}
		got := text(g.ask(question, false))
		if joined := strings.Join(want, "\n"); joined != got && !*update {
			g.t.Errorf("%s: %s\n%s\nwant\n%s", file, question, got, joined)
		}
		out = append(out, strings.Split("? "+question+"\n"+got+"\n", "\n")...)
		question, want = "", nil
		asked++
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			check()
			out = append(out, line)
		case strings.HasPrefix(line, "? "):
			check()
			question = line[2:]
		case line != "":
			want = append(want, line)
		}
	}
	check()
	if asked < 10 {
		g.t.Fatalf("%s asks %d questions only", file, asked)
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimSpace(strings.Join(out, "\n"))+"\n"), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
}

// RFC 1035 §2.3.3 and draft-vixie-dnsext-dns0x20: the question comes back as it
// was written, and finds the name in any case.
func TestCaseIsPreserved(t *testing.T) {
	g := start(t, nil)
	for _, name := range []string{"wEb.ExAmPlE.oRg.", "WWW.EXAMPLE.ORG.", "nOthIng.wIld.example.ORG."} {
		answer := g.ask(name+" A", false)
		if answer.Question[0].Name != name {
			t.Errorf("question %s came back as %s", name, answer.Question[0].Name)
		}
		if len(answer.Answer) == 0 || answer.Answer[0].Header().Name != name {
			t.Errorf("the answer to %s belongs to another name: %v", name, answer.Answer)
		}
	}
}

// Over TCP the same comes as over UDP.
func TestSameOverTCP(t *testing.T) {
	g := start(t, nil)
	for _, question := range []string{"web.example.org A", "nothing.example.org A", "example.org MX", "child.example.org A", "example.org ANY"} {
		if udp, tcp := text(g.ask(question, false)), text(g.ask(question, true)); udp != tcp {
			t.Errorf("%s: over UDP\n%s\nover TCP\n%s", question, udp, tcp)
		}
	}
}

// RFC 9824 is not what we do: a signed zone says NXDOMAIN, and the proofs hold
// against a validator of another make (see tools_test.go). Here: every
// signature that comes with an answer verifies with the zone's key.
func TestSignaturesVerify(t *testing.T) {
	l := newLog()
	signer := withKeys(t, l)
	g := startWith(t, l, func(o *yggdrasil.Options) { o.Signer = signer })
	keys := g.ask("example.org DNSKEY do", true)
	var key *dns.DNSKEY
	for _, rr := range keys.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			key = k
		}
	}
	if key == nil {
		t.Fatalf("no DNSKEY in\n%v", keys)
	}
	verified := 0
	for _, question := range []string{"web.example.org A", "www.example.org A", "any.wild.example.org MX", "nothing.example.org A", "ent.example.org A",
		"secure.example.org A", "child.example.org A", "example.org SOA", "example.org DNSKEY", "example.org CDS", "example.org NSEC"} {
		answer := g.ask(question+" do", true)
		for _, section := range [][]dns.RR{answer.Answer, answer.Ns, answer.Extra} {
			for _, rr := range section {
				signature, ok := rr.(*dns.RRSIG)
				if !ok {
					continue
				}
				verified++
				if err := signature.Verify(key, covered(section, signature)); err != nil {
					t.Errorf("%s: %v: %v", question, signature, err)
				}
			}
		}
	}
	if verified < 18 {
		t.Errorf("only %d signatures were seen", verified)
	}
}

func covered(section []dns.RR, signature *dns.RRSIG) (set []dns.RR) {
	for _, rr := range section {
		if rr.Header().Rrtype != signature.TypeCovered || rr.Header().Name != signature.Hdr.Name {
			continue
		}
		if _, isSignature := rr.(*dns.RRSIG); !isSignature {
			rr = dns.Copy(rr)
			rr.Header().Ttl = signature.OrigTtl
			set = append(set, rr)
		}
	}
	return set
}
