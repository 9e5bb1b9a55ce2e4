package zone

import (
	"net/netip"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	switch c := command.(type) {
	case Add:
		return add(s, c)
	case Configure:
		return configure(s, c)
	case Remove:
		if !s.exists() {
			return nil, nil
		}
		if s.Role != events.ZoneCustom {
			return nil, problem.New(problem.Conflict, "cannot remove zone %s: it is the platform's own", s.Zone)
		}
		return []events.Event{events.ZoneRemoved{Zone: s.Zone}}, nil
	default:
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the zone").WithHint("pantheon dns zone list")
	}
	switch c := command.(type) {
	case AddRecords:
		return addRecords(s, c)
	case SetRecords:
		return setRecords(s, c)
	case RemoveRecords:
		return removeRecords(s, c)
	case PresentChallenge:
		return presentChallenge(s, c)
	case ClearChallenge:
		return clearChallenge(s, c)
	case AddSecondary:
		return addSecondary(s, c)
	case RemoveSecondary:
		address, _ := canonicalAddress(c.Address)
		if _, known := s.Secondaries[address]; !known {
			return nil, nil
		}
		return []events.Event{events.SecondaryRemoved{Zone: s.Zone, Address: address}}, nil
	case IntroduceKey:
		return introduceKey(s, c)
	case ActivateKey:
		return activateKey(s, c)
	case RetireKey:
		return retireKey(s, c)
	case RemoveKey:
		return removeKey(s, c)
	case Resign:
		return resign(s, c)
	case DecideSigning:
		return decideSigning(s, c)
	case Add, Configure, Remove: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a zone has no such command", command)
}

func add(s State, c Add) ([]events.Event, error) {
	if _, err := events.ParseZoneName(string(c.Zone)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot add the zone")
	}
	if err := checkSettings(c.Settings); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot add zone %s", c.Zone)
	}
	switch {
	case s.exists() && s.Role == events.ZoneCustom && sameSettings(s.Settings, c.Settings):
		return nil, nil
	case s.exists():
		return nil, problem.New(problem.Conflict, "cannot add zone %s: it is there already", c.Zone).WithHint("pantheon dns zone show %s", c.Zone)
	}
	return []events.Event{events.ZoneAdded{Zone: c.Zone, Role: events.ZoneCustom, Settings: c.Settings}}, nil
}

func configure(s State, c Configure) ([]events.Event, error) {
	if err := checkSettings(c.Settings); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot configure zone %.80s", c.Zone)
	}
	switch {
	case s.exists() && sameSettings(s.Settings, c.Settings):
		return nil, nil
	case s.exists():
		return []events.Event{events.ZoneConfigured{Zone: s.Zone, Settings: c.Settings}}, nil
	case c.Role != events.ZonePlatform && c.Role != events.ZoneInternal:
		return nil, problem.New(problem.NotFound, "cannot find zone %.80s", c.Zone).WithHint("pantheon dns zone list")
	}
	if _, err := events.ParseZoneName(string(c.Zone)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot configure the zone")
	}
	return []events.Event{events.ZoneAdded{Zone: c.Zone, Role: c.Role, Settings: c.Settings}}, nil
}

func sameSettings(a, b events.ZoneSettings) bool {
	return a.Primary == b.Primary && a.Hostmaster == b.Hostmaster &&
		slices.EqualFunc(a.NameServers, b.NameServers, func(a, b events.NameServer) bool {
			return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses)
		}) &&
		slices.Equal(a.Entry, b.Entry) && slices.Equal(a.CAA, b.CAA) && slices.Equal(a.Services, b.Services) &&
		a.TTLSeconds == b.TTLSeconds && a.NegativeTTLSeconds == b.NegativeTTLSeconds &&
		a.RefreshSeconds == b.RefreshSeconds && a.RetrySeconds == b.RetrySeconds && a.ExpireSeconds == b.ExpireSeconds
}

func checkSettings(settings events.ZoneSettings) error {
	for what, seconds := range map[string]int64{
		"the TTL": settings.TTLSeconds, "the negative TTL": settings.NegativeTTLSeconds, "refresh": settings.RefreshSeconds,
		"retry": settings.RetrySeconds, "expire": settings.ExpireSeconds,
	} {
		if seconds < 0 || seconds > MaxTTL {
			return problem.New(problem.Invalid, "%s of %d seconds is not between 0 and %d", what, seconds, MaxTTL)
		}
	}
	if n := max(len(settings.NameServers), len(settings.Entry), len(settings.CAA), len(settings.Services)); n > MaxListed {
		return problem.New(problem.Invalid, "a list has %d entries, %d are allowed", n, MaxListed)
	}
	if _, ok := hostName(settings.Primary); settings.Primary != "" && !ok {
		return problem.New(problem.Invalid, "the primary %.80q is no name", settings.Primary)
	}
	local, domain, _ := strings.Cut(settings.Hostmaster, "@")
	if _, ok := hostName(domain); settings.Hostmaster != "" && (!ok || local == "" || len(local) > 63 || events.CheckText("it", local, 63) != nil) {
		return problem.New(problem.Invalid, "the hostmaster %.80q is no mail address", settings.Hostmaster)
	}
	for _, server := range settings.NameServers {
		if _, ok := hostName(server.Name); !ok {
			return problem.New(problem.Invalid, "the name server %.80q is no name", server.Name)
		}
		if err := checkAddresses(server.Addresses); err != nil {
			return err
		}
	}
	for _, text := range settings.CAA {
		if _, err := canonicalData("CAA", text); err != nil {
			return problem.Wrap(problem.Invalid, err, "the CAA record %.80q", text)
		}
	}
	for _, service := range settings.Services {
		if service.Port < 1 || service.Port > 65535 || !isServiceLabel(service.Service) || !isServiceLabel(service.Server) {
			return problem.New(problem.Invalid, "the service %.40q of %.40q at port %d is none", service.Service, service.Server, service.Port)
		}
	}
	return checkAddresses(settings.Entry)
}

// isServiceLabel: a service name of RFC 6335 §5.1.
func isServiceLabel(s string) bool {
	return s != "" && len(s) <= 15 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// hostName is a name without a wildcard.
func hostName(text string) (string, bool) {
	name, ok := canonicalName(text)
	return name, ok && !strings.HasPrefix(name, "*")
}

func checkAddresses(texts []string) error {
	if len(texts) > MaxListed {
		return problem.New(problem.Invalid, "%d addresses, %d are allowed", len(texts), MaxListed)
	}
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err != nil || address.Zone() != "" {
			return problem.New(problem.Invalid, "%.60q is no IP address", text)
		}
	}
	return nil
}

func presentChallenge(s State, c PresentChallenge) ([]events.Event, error) {
	name, err := s.nameInZone(c.Name)
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot present the challenge")
	case !strings.HasPrefix(name, "_acme-challenge."):
		return nil, problem.New(problem.Invalid, "cannot present the challenge at %s: such names begin with _acme-challenge.", name)
	case c.Value == "" || events.CheckText("it", c.Value, MaxChallengeBytes) != nil || strings.ContainsAny(c.Value, `"\`):
		return nil, problem.New(problem.Invalid, "cannot present the challenge at %s: its value is no text of 1 to %d bytes", name, MaxChallengeBytes)
	case c.Expires.IsZero():
		return nil, problem.New(problem.Invalid, "cannot present the challenge at %s: it does not say when it expires", name)
	}
	if _, alias := s.owner(name).set("CNAME"); alias {
		return nil, problem.New(problem.Conflict, "cannot present the challenge at %s: the name is an alias (CNAME), which leads away from here", name).
			WithHint("present it where the alias leads, or remove the CNAME")
	}
	if _, cut := s.owner(name).set("NS"); cut {
		return nil, problem.New(problem.Conflict, "cannot present the challenge at %s: the name is delegated", name).WithHint("present it in the delegated zone")
	}
	if err := s.delegated(name, "TXT"); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot present the challenge")
	}
	expires, known := s.Challenges[Challenge{name, c.Value}]
	if known && !c.Expires.After(expires) {
		return nil, nil
	}
	if !known && len(s.Challenges) >= MaxChallenges {
		return nil, problem.New(problem.Busy, "cannot present the challenge: zone %s has %d", s.Zone, len(s.Challenges)).WithHint("they are cleared when they expire")
	}
	return []events.Event{events.ChallengePresented{Zone: s.Zone, Name: name, Value: c.Value, Expires: c.Expires.Round(0).UTC()}}, nil
}

func clearChallenge(s State, c ClearChallenge) ([]events.Event, error) {
	name, _ := canonicalName(c.Name)
	if _, known := s.Challenges[Challenge{name, c.Value}]; !known {
		return nil, nil
	}
	return []events.Event{events.ChallengeCleared{Zone: s.Zone, Name: name, Value: c.Value, Expired: c.Expired}}, nil
}

// canonicalAddress gives an IP address, with or without a port, in one form.
func canonicalAddress(text string) (string, bool) {
	if withPort, err := netip.ParseAddrPort(text); err == nil && withPort.Addr().Zone() == "" && withPort.Port() != 0 {
		return netip.AddrPortFrom(withPort.Addr().Unmap(), withPort.Port()).String(), true
	}
	address, err := netip.ParseAddr(text)
	return address.Unmap().String(), err == nil && address.Zone() == ""
}

func addSecondary(s State, c AddSecondary) ([]events.Event, error) {
	canonical, ok := canonicalAddress(c.Address)
	if !ok {
		return nil, problem.New(problem.Invalid, "cannot add secondary %.60q: it is no IP address, with or without a port", c.Address)
	}
	key, ok := hostName(c.TSIGKey)
	if c.TSIGKey == "" {
		key, ok = "", true
	}
	if !ok {
		return nil, problem.New(problem.Invalid, "cannot add secondary %s: %.80q is no name of a TSIG key", canonical, c.TSIGKey)
	}
	added := events.SecondaryAdded{Zone: s.Zone, Address: canonical, TSIGKey: key, Notify: c.Notify}
	old, known := s.Secondaries[canonical]
	switch {
	case known && old == added:
		return nil, nil
	case !known && len(s.Secondaries) >= MaxSecondaries:
		return nil, problem.New(problem.Conflict, "cannot add a secondary: zone %s has %d", s.Zone, len(s.Secondaries)).WithHint("remove one first")
	}
	return []events.Event{added}, nil
}
