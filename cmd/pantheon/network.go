package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// checkAddress finds what is wrong with an address before anything is made.
func checkAddress(address, flag string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // a number, or a name of /etc/services
	}
	if err == nil && port != "" && !strings.ContainsAny(host, " \t/") {
		return nil
	}
	return problem.New(problem.Invalid, "cannot use the address %.80q", address).
		WithHint("write host and port: %s 127.0.0.1:8080; without a host (%s :8080) every network of this machine reaches it", flag, flag)
}

func listenTCP(ctx context.Context, address, flag string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	kind, hint := listenFailure(err)
	return nil, problem.Wrap(kind, err, "cannot listen on %s", address).WithHint("%s; %s takes another address", hint, flag)
}

// listenFailure says what can be done about it.
func listenFailure(err error) (kind problem.Kind, hint string) {
	var lookup *net.DNSError
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return problem.Unavailable, "another program uses the port: ss -ltnp shows which"
	case errors.Is(err, unix.EACCES):
		return problem.Denied, "ports below 1024 are for root: run it as root, or allow them with sysctl net.ipv4.ip_unprivileged_port_start"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return problem.Invalid, "this machine does not have that address: ip address shows those it has"
	case errors.As(err, &lookup):
		return problem.Invalid, "the host name is not known here"
	}
	return problem.Unavailable, "the system refuses the address"
}

// parseProxies reads whose forwarding headers are believed.
func parseProxies(text string) ([]netip.Prefix, error) {
	return parseNetworks(text, "--trusted-proxies")
}

// parseNetworks reads networks and single addresses, separated by commas.
func parseNetworks(text, flag string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(word); err == nil {
				prefix = netip.PrefixFrom(address, address.BitLen())
			}
		}
		if err != nil || prefix.Addr().Is4In6() || strings.Contains(word, "%") {
			return nil, problem.New(problem.Invalid, "cannot use %.60q: it is no network", word).
				WithHint("write networks or addresses, separated by commas: %s 10.0.0.0/8,2001:db8::5", flag)
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, nil
}

// parseAddresses reads IP addresses, separated by commas.
func parseAddresses(text string) ([]string, error) {
	var addresses []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		address, err := netip.ParseAddr(word)
		if err != nil || address.Zone() != "" {
			return nil, problem.New(problem.Invalid, "cannot use %.60q: it is no IP address", word).
				WithHint("write addresses separated by commas: 192.0.2.1,2001:db8::1")
		}
		addresses = append(addresses, address.Unmap().String())
	}
	return addresses, nil
}
