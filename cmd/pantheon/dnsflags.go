package main

import (
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil/delegation"
)

// dnsFlags is what `pantheon up` was given about its name server, as text.
type dnsFlags struct {
	address, internalDomain, internalNetworks string
	names                                     []string
	entry, resolver                           string
}

// off is the address of a name server that is not wanted.
const off = "off"

func (c *cli) dnsFlags(cmd *cobra.Command, given *dnsFlags) {
	flags := cmd.Flags()
	flags.StringVar(&given.address, "dns", c.env("PANTHEON_DNS", "127.0.0.1:8053"), "`ADDRESS` of the name server, UDP and TCP, or off (PANTHEON_DNS); the world asks at port 53")
	flags.StringArrayVar(&given.names, "dns-name", strings.Fields(c.getenv("PANTHEON_DNS_NAMES")), "`NAME[=ADDRESS,...]` of a server that zones are delegated to, again for each (PANTHEON_DNS_NAMES, separated by spaces); ns1.DOMAIN without one")
	flags.StringVar(&given.entry, "entry-address", c.getenv("PANTHEON_ENTRY_ADDRESS"), "`ADDRESS,...` that names of sites stand for; where --http listens without it (PANTHEON_ENTRY_ADDRESS)")
	flags.StringVar(&given.internalDomain, "internal-domain", c.getenv("PANTHEON_INTERNAL_DOMAIN"), "`DOMAIN` of the names of services and hosts; internal.DOMAIN without it (PANTHEON_INTERNAL_DOMAIN)")
	flags.StringVar(&given.internalNetworks, "dns-internal-networks", c.getenv("PANTHEON_DNS_INTERNAL_NETWORKS"), "`CIDR,...` that may ask for names of the internal domain; this machine alone without it (PANTHEON_DNS_INTERNAL_NETWORKS)")
	flags.StringVar(&given.resolver, "dns-resolver", c.getenv("PANTHEON_DNS_RESOLVER"), "`ADDRESS` of a resolver that shows the DS records of parent zones to key roll-overs; the machine's own without it (PANTHEON_DNS_RESOLVER)")
}

// complete checks what was given and fills in the rest.
func (f dnsFlags) complete(options *platformOptions) error {
	if f.address != off {
		if err := checkAddress(f.address, "--dns"); err != nil {
			return err
		}
		options.dns.address = f.address
	}
	options.dns.internalDomain = f.internalDomain
	if f.internalDomain == "" {
		options.dns.internalDomain = "internal." + options.domain
	}
	if err := validDomain(options.dns.internalDomain); err != nil {
		return err
	}
	if options.dns.internalDomain == options.domain {
		return problem.New(problem.Invalid, "cannot use %s as the internal domain: it is the platform's", options.domain).
			WithHint("--internal-domain names another one")
	}
	var err error
	if f.internalNetworks != "" {
		if options.dns.internalNetworks, err = parseNetworks(f.internalNetworks, "--dns-internal-networks"); err != nil {
			return err
		}
	}
	if options.dns.servers, err = parseNameServers(f.names); err != nil {
		return err
	}
	for _, server := range options.dns.servers {
		if _, err := events.ParseZoneName(server.Name); err != nil {
			return problem.New(problem.Invalid, "cannot use %.80q as the name of a name server", server.Name).
				WithHint("write --dns-name ns1.example.org or --dns-name ns1.example.org=192.0.2.1")
		}
	}
	if options.dns.entry, err = parseAddresses(f.entry); err != nil {
		return err
	}
	if f.resolver != "" {
		options.dns.resolver, err = delegation.ParseAddress(f.resolver)
	}
	return err
}
