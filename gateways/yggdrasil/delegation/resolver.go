package delegation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pantheon/events/problem"
)

// Resolver asks a recursive resolver.
type Resolver struct {
	// Address is host:port.
	Address string
}

// SystemResolver gives the first that the machine's resolv.conf names.
func SystemResolver(path string) (Resolver, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil || len(config.Servers) == 0 {
		return Resolver{}, problem.New(problem.Unavailable, "cannot find a resolver in %s", path).WithHint("--resolver names one")
	}
	return Resolver{net.JoinHostPort(config.Servers[0], config.Port)}, nil
}

// ParseAddress takes an IP address with or without a port; the default is 53.
func ParseAddress(text string) (string, error) {
	if address, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return net.JoinHostPort(address.String(), "53"), nil
	}
	if address, err := netip.ParseAddrPort(text); err == nil {
		return address.String(), nil
	}
	return "", problem.New(problem.Invalid, "cannot use %.60q as the address of a server", text).WithHint("write 192.0.2.1 or [2001:db8::1]:5353")
}

// question is one that is sent to a server.
type question struct {
	name      string
	rrtype    uint16
	recursion bool
	dnssec    bool // DO
	unchecked bool // CD
}

// ask sends a question over UDP, and over TCP where the answer was cut off.
func ask(ctx context.Context, server string, q question) (*dns.Msg, error) {
	message := new(dns.Msg)
	message.SetQuestion(q.name, q.rrtype)
	message.RecursionDesired, message.CheckingDisabled = q.recursion, q.unchecked
	message.SetEdns0(udpBytes, q.dnssec)
	client := &dns.Client{Net: "udp", UDPSize: udpBytes, Timeout: answerTimeout}
	var answer *dns.Msg
	var err error
	for range attempts {
		if answer, _, err = client.ExchangeContext(ctx, message, server); err == nil {
			break
		}
	}
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, message, server)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot ask %s for %s %s", server, q.name, dns.TypeToString[q.rrtype])
	}
	return answer, nil
}

// lookup asks the resolver and refuses answers that are failures of its own.
func (r Resolver) lookup(ctx context.Context, name string, rrtype uint16) (*dns.Msg, error) {
	answer, err := ask(ctx, r.Address, question{name: name, rrtype: rrtype, recursion: true, dnssec: true})
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return answer, problem.New(problem.Unavailable, "%s answers %s to %s %s", r.Address, dns.RcodeToString[answer.Rcode], name, dns.TypeToString[rrtype])
	}
	return answer, nil
}

// DS gives the parent's DS set as the resolver sees it, none where there is
// none, and what is left of its TTL.
func (r Resolver) DS(ctx context.Context, apex []byte) (rdata [][]byte, ttl time.Duration, err error) {
	name, _, err := dns.UnpackDomainName(apex, 0)
	if err != nil {
		return nil, 0, err
	}
	answer, err := r.lookup(ctx, name, dns.TypeDS)
	if err != nil {
		return nil, 0, err
	}
	for _, ds := range of[*dns.DS](answer.Answer, name) {
		octets, err := rdataOf(ds)
		if err != nil {
			return nil, 0, err
		}
		rdata = append(rdata, octets)
		ttl = max(ttl, time.Duration(ds.Hdr.Ttl)*time.Second)
	}
	return rdata, ttl, nil
}

func rdataOf(rr dns.RR) ([]byte, error) {
	buffer := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		return nil, err
	}
	_, head, err := dns.UnpackDomainName(buffer, 0)
	if err != nil {
		return nil, err
	}
	const fixed = 10 // type, class, TTL, length
	return buffer[head+fixed : end], nil
}

// of gives the records of a type, and of an owner where one is named.
func of[R dns.RR](records []dns.RR, owner string) []R {
	var all []R
	for _, rr := range records {
		if r, is := rr.(R); is && (owner == "" || strings.EqualFold(rr.Header().Name, owner)) {
			all = append(all, r)
		}
	}
	return all
}

// addresses gives A and AAAA of a name, sorted as they come.
func (r Resolver) addresses(ctx context.Context, name string) ([]string, error) {
	var all []string
	var failed error
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := r.lookup(ctx, name, rrtype)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		all = append(all, addressesIn(answer.Answer, "")...)
	}
	if len(all) > 0 {
		return all, nil
	}
	if failed == nil {
		failed = fmt.Errorf("%s has no address", name)
	}
	return nil, failed
}

func addressesIn(records []dns.RR, owner string) []string {
	var all []string
	for _, a := range of[*dns.A](records, owner) {
		all = append(all, a.A.String())
	}
	for _, a := range of[*dns.AAAA](records, owner) {
		all = append(all, a.AAAA.String())
	}
	return all
}
