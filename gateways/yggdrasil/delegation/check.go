package delegation

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Zone is what a zone should look like from outside. Names are absolute.
type Zone struct {
	Name        string
	NameServers []string
	// Glue holds the addresses of the name servers whose names lie in the zone.
	Glue   map[string][]string
	Serial uint32
	// DS is what the parent shall have, in presentation form ("55648 13 2
	// B4C8…"); empty where the zone is not signed.
	DS []string
	// Tags are of all published keys: a DS of none of them is a stranger's.
	Tags []uint16
}

// Options of a Check.
type Options struct {
	// Resolver is required.
	Resolver Resolver
	// Parent is asked for the delegation, host:port. Default: the parent's own
	// name servers, as the resolver knows them.
	Parent string
	// Port of the name servers. Default: 53.
	Port string
}

// Verdict of a finding.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Wrong   Verdict = "wrong"
	Unknown Verdict = "unknown" // it could not be asked
)

// Finding is one thing that was looked at.
type Finding struct {
	Check    string  `json:"check"` // delegation, glue, ds, server, validation
	Subject  string  `json:"subject"`
	Expected string  `json:"expected"`
	Seen     string  `json:"seen"`
	Verdict  Verdict `json:"verdict"`
	Todo     string  `json:"todo,omitzero"` // what to do where it is wrong
}

// checker is one Check under way.
type checker struct {
	options  Options
	zone     Zone
	findings []Finding
}

// Check looks at everything and gives what it finds, in the order of cause and
// effect.
func Check(ctx context.Context, zone Zone, options Options) []Finding {
	if options.Port == "" {
		options.Port = "53"
	}
	c := &checker{options: options, zone: zone}
	c.delegation(ctx)
	c.ds(ctx)
	for _, server := range zone.NameServers[:min(len(zone.NameServers), maxServers)] {
		c.server(ctx, server)
	}
	c.validation(ctx)
	return c.findings
}

func (c *checker) find(check, subject, expected, seen string, verdict Verdict, todo string, args ...any) {
	c.findings = append(c.findings, Finding{check, subject, expected, seen, verdict, fmt.Sprintf(todo, args...)})
}

// delegation asks the parent for the referral, which has NS and glue.
func (c *checker) delegation(ctx context.Context) {
	want := join(c.zone.NameServers)
	referral, err := c.referral(ctx)
	if err != nil {
		c.find("delegation", c.zone.Name, want, err.Error(), Unknown, "name a server of the parent zone with --parent")
		return
	}
	records := slices.Concat(referral.Ns, referral.Answer) // a server of both zones answers instead
	var seen []string
	for _, ns := range of[*dns.NS](records, c.zone.Name) {
		seen = append(seen, canonical(ns.Ns))
	}
	missing, extra := differ(c.zone.NameServers, seen)
	switch {
	case len(seen) == 0:
		c.find("delegation", c.zone.Name, want, "no delegation", Wrong, "register %s, and give the registrar these name servers", c.zone.Name)
	case len(missing)+len(extra) == 0:
		c.find("delegation", c.zone.Name, want, join(seen), OK, "")
	default:
		c.find("delegation", c.zone.Name, want, join(seen), Wrong, "%s", strings.Join(compact(
			words("add %s at the registrar", missing), words("remove %s at the registrar, or name it with --dns-name", extra)), "; "))
	}
	for _, server := range c.zone.NameServers {
		want := c.zone.Glue[server]
		if len(want) == 0 || len(seen) == 0 {
			continue
		}
		got := addressesIn(referral.Extra, server)
		missing, extra := differ(want, got)
		if len(missing)+len(extra) == 0 {
			c.find("glue", server, join(want), join(got), OK, "")
			continue
		}
		c.find("glue", server, join(want), orNone(got), Wrong, "%s", strings.Join(compact(
			words("add %s to the host object "+server+" at the registrar", missing), words("remove %s from it", extra)), "; "))
	}
}

// referral asks the parent, or each of its servers until one answers.
func (c *checker) referral(ctx context.Context) (*dns.Msg, error) {
	q := question{name: c.zone.Name, rrtype: dns.TypeNS}
	if c.options.Parent != "" {
		return ask(ctx, c.options.Parent, q)
	}
	servers, err := c.parentServers(ctx)
	for _, server := range servers {
		var answer *dns.Msg
		if answer, err = ask(ctx, server, q); err == nil {
			return answer, nil
		}
	}
	return nil, err
}

// parentServers finds the closest zone above that the resolver knows.
func (c *checker) parentServers(ctx context.Context) ([]string, error) {
	for offset, end := dns.NextLabel(c.zone.Name, 0); ; offset, end = dns.NextLabel(c.zone.Name, offset) {
		parent := "."
		if !end {
			parent = c.zone.Name[offset:]
		}
		answer, err := c.options.Resolver.lookup(ctx, parent, dns.TypeNS)
		if err != nil {
			return nil, err
		}
		var servers []string
		for _, ns := range of[*dns.NS](answer.Answer, parent) {
			addresses, err := c.options.Resolver.addresses(ctx, ns.Ns)
			if err != nil || len(servers) == maxServers {
				continue
			}
			servers = append(servers, net.JoinHostPort(addresses[0], c.options.Port))
		}
		if len(servers) > 0 {
			return servers, nil
		}
		if end {
			return nil, fmt.Errorf("no server of a zone above %s is known", c.zone.Name)
		}
	}
}

// ds compares the parent's DS set with what it shall be.
func (c *checker) ds(ctx context.Context) {
	want := join(c.zone.DS)
	if len(c.zone.DS) == 0 {
		want = "none: the zone is not signed"
	}
	answer, err := c.options.Resolver.lookup(ctx, c.zone.Name, dns.TypeDS)
	if err != nil {
		c.find("ds", c.zone.Name, want, err.Error(), Unknown, "try again, or ask another resolver with --resolver")
		return
	}
	var seen, stray []string
	matches := false
	for _, ds := range of[*dns.DS](answer.Answer, c.zone.Name) {
		seen = append(seen, dsText(ds))
		if slices.Contains(c.zone.Tags, ds.KeyTag) && ds.Algorithm == dns.ECDSAP256SHA256 {
			matches = true
		} else {
			stray = append(stray, dsText(ds))
		}
	}
	missing, _ := differ(c.zone.DS, seen)
	switch {
	case len(seen) == 0 && len(c.zone.DS) == 0:
		c.find("ds", c.zone.Name, want, "none", OK, "")
	case len(seen) == 0:
		c.find("ds", c.zone.Name, want, "none", Wrong, "nobody validates the zone yet: put the DS at the registrar")
	case len(c.zone.DS) == 0 && len(c.zone.Tags) > 0 && matches:
		c.find("ds", c.zone.Name, want, join(seen), Wrong, "the zone shall be unsigned and is signed until these are gone: remove %s at the registrar", join(seen))
	case !matches && len(c.zone.DS) == 0:
		c.find("ds", c.zone.Name, want, join(seen), Wrong, "the zone is BOGUS for everybody who validates: remove %s at the registrar at once, or sign the zone", join(seen))
	case !matches:
		c.find("ds", c.zone.Name, want, join(seen), Wrong, "the zone is BOGUS for everybody who validates: put the expected DS at the registrar at once, and remove the others")
	case len(missing)+len(stray) == 0:
		c.find("ds", c.zone.Name, want, join(seen), OK, "")
	default:
		c.find("ds", c.zone.Name, want, join(seen), Wrong, "%s", strings.Join(compact(
			words("add %s at the registrar", missing), words("remove %s: no key of the zone fits", stray)), "; "))
	}
}

func dsText(ds *dns.DS) string {
	return fmt.Sprintf("%d %d %d %s", ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToUpper(ds.Digest))
}

// server asks one of the zone's name servers for the zone.
func (c *checker) server(ctx context.Context, name string) {
	want := fmt.Sprintf("authoritative, serial %d", c.zone.Serial)
	addresses := c.zone.Glue[name]
	if len(addresses) == 0 {
		var err error
		if addresses, err = c.options.Resolver.addresses(ctx, name); err != nil {
			c.find("server", name, want, err.Error(), Wrong, "give %s an address, or take it out of the zone's NS records", name)
			return
		}
	}
	for _, address := range addresses {
		subject := name + " " + address
		answer, err := ask(ctx, net.JoinHostPort(address, c.options.Port), question{name: c.zone.Name, rrtype: dns.TypeSOA, dnssec: true})
		if err != nil {
			c.find("server", subject, want, "no answer", Wrong, "open port %s, UDP and TCP, of %s", c.options.Port, address)
			continue
		}
		soa := of[*dns.SOA](answer.Answer, c.zone.Name)
		switch {
		case !answer.Authoritative || len(soa) == 0:
			c.find("server", subject, want, "not authoritative ("+dns.RcodeToString[answer.Rcode]+")", Wrong, "make %s a secondary: pantheon dns secondary add", address)
		case int32(soa[0].Serial-c.zone.Serial) < 0: // RFC 1982
			c.find("server", subject, want, fmt.Sprintf("serial %d", soa[0].Serial), Wrong, "it is behind: see that it is notified and may transfer (pantheon dns secondary list)")
		case len(c.zone.DS) > 0 && len(of[*dns.RRSIG](answer.Answer, c.zone.Name)) == 0:
			c.find("server", subject, want, "no signatures", Wrong, "it serves an unsigned copy: have it transfer the zone again")
		default:
			c.find("server", subject, want, fmt.Sprintf("authoritative, serial %d", soa[0].Serial), OK, "")
		}
	}
}

// validation asks the resolver as a user would, and once more without checking
// where that fails: then the chain of trust is what is broken.
func (c *checker) validation(ctx context.Context) {
	want := "an answer"
	if len(c.zone.DS) > 0 {
		want = "a validated answer"
	}
	server := c.options.Resolver.Address
	answer, err := ask(ctx, server, question{name: c.zone.Name, rrtype: dns.TypeSOA, recursion: true, dnssec: true})
	switch {
	case err != nil:
		c.find("validation", server, want, err.Error(), Unknown, "ask another resolver with --resolver")
	case answer.Rcode == dns.RcodeServerFailure:
		unchecked, err := ask(ctx, server, question{name: c.zone.Name, rrtype: dns.TypeSOA, recursion: true, dnssec: true, unchecked: true})
		if err == nil && unchecked.Rcode == dns.RcodeSuccess {
			c.find("validation", server, want, "bogus: it answers only without validation", Wrong, "mend the DS above; caches keep the old one for its TTL")
			return
		}
		c.find("validation", server, want, "SERVFAIL", Wrong, "mend delegation and servers above")
	case answer.Rcode != dns.RcodeSuccess || len(of[*dns.SOA](answer.Answer, c.zone.Name)) == 0:
		c.find("validation", server, want, dns.RcodeToString[answer.Rcode]+" without the zone's SOA", Wrong, "mend the delegation above")
	case answer.AuthenticatedData:
		c.find("validation", server, want, "validated", OK, "")
	case len(c.zone.DS) > 0:
		c.find("validation", server, want, "an answer, not validated", Wrong, "put the DS at the registrar; or this resolver does not validate: ask another with --resolver")
	default:
		c.find("validation", server, want, "an answer", OK, "")
	}
}

// differ gives what is only in want and what is only in got, names and
// addresses without regard to case.
func differ(want, got []string) (missing, extra []string) {
	has := func(list []string, item string) bool {
		return slices.ContainsFunc(list, func(other string) bool { return strings.EqualFold(item, other) })
	}
	for _, item := range want {
		if !has(got, item) {
			missing = append(missing, item)
		}
	}
	for _, item := range got {
		if !has(want, item) {
			extra = append(extra, item)
		}
	}
	return missing, extra
}

func canonical(name string) string { return dns.CanonicalName(name) }

func join(items []string) string {
	sorted := slices.Clone(items)
	slices.Sort(sorted)
	return strings.Join(sorted, ", ")
}

func orNone(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return join(items)
}

func words(format string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	return fmt.Sprintf(format, join(items))
}

func compact(parts ...string) []string {
	return slices.DeleteFunc(parts, func(part string) bool { return part == "" })
}
