package host

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// MaxNameBytes bounds a host's name and zone; a DNS name has at most 253.
const MaxNameBytes = 253

// MaxAddresses of a host; its names have as many A and AAAA records.
const MaxAddresses = 16

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	if s.Removed {
		return removed(s, command)
	}
	if c, registering := command.(Register); registering {
		return register(s, c)
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the host").WithHint("pantheon host list")
	}
	host := s.Registered.Host
	switch c := command.(type) {
	case ReportAddresses:
		return reportAddresses(s, c)
	case ReportEndpoint:
		return reportEndpoint(s, c)
	case TakeRoles:
		return takeRoles(s, c)
	case ReportSoftware:
		return reportSoftware(s, c)
	case Drain:
		return unless(s.Draining, events.HostDrainRequested{Host: host})
	case EndDrain:
		return unless(!s.Draining, events.HostDrainEnded{Host: host})
	case Remove:
		return remove(s)
	case WriteOff:
		return writeOff(s)
	case ReportLost:
		return unless(s.Lost, events.HostLost{Host: host, Reason: events.Reason(c.Reason)})
	case ReportRefused:
		reason := events.Reason(c.Reason)
		return unless(s.Lost && s.LostReason == reason, events.HostLost{Host: host, Reason: reason})
	case ReportReturned:
		return unless(!s.Lost, events.HostReturned{Host: host})
	case AdmitDrop:
		return admitDrop(s, c)
	case ChangeDropSpec:
		return changeDropSpec(s, c)
	case DismissDrop:
		if _, known := s.drop(c.Drop); !known {
			return nil, nil
		}
		return []events.Event{events.DropDismissed{Host: host, Drop: c.Drop, Reason: events.Reason(c.Reason)}}, nil
	case AdmitBinding:
		return admitBinding(s, c)
	case DismissBinding:
		spec, known := s.binding(c.Binding)
		if !known {
			return nil, nil
		}
		return []events.Event{events.BindingDismissed{Host: host, Binding: c.Binding, Spec: spec}}, nil
	case OrderSleep:
		return order(s, c.Drop, events.DropSleepOrdered{Host: host, Drop: c.Drop})
	case OrderWake:
		return order(s, c.Drop, events.DropWakeOrdered{Host: host, Drop: c.Drop})
	case Register: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a host has no such command", command)
}

// unless gives the event where what it would bring about is not there already.
func unless(already bool, event events.Event) ([]events.Event, error) {
	if already {
		return nil, nil
	}
	return []events.Event{event}, nil
}

// removed answers for a host that is no longer of the cell. What is taken from
// it, it does not have.
func removed(s State, command Command) ([]events.Event, error) {
	switch command.(type) {
	case Remove, WriteOff, Drain, ReportLost, ReportRefused, DismissDrop, DismissBinding:
		return nil, nil
	case Register, ReportAddresses, ReportEndpoint, TakeRoles, ReportSoftware, EndDrain, ReportReturned,
		AdmitDrop, ChangeDropSpec, AdmitBinding, OrderSleep, OrderWake:
	}
	return nil, problem.New(problem.Conflict, "cannot do this: host %s was removed from the cell", s.Registered.Name).
		WithHint("a machine that shall come back joins anew, with an empty data folder")
}

func remove(s State) ([]events.Event, error) {
	if drops, bindings := s.Drops(), s.Bindings(); drops+bindings > 0 {
		return nil, problem.New(problem.Conflict, "cannot remove host %s: it holds %d DROPs and %d bindings", s.Registered.Name, drops, bindings).
			WithHint("pantheon host drain %[1]s moves its DROPs away; bindings hold data and stay until their sites are deleted; where the machine is gone for good, pantheon host remove %[1]s --lost gives them up", s.Registered.Name)
	}
	return []events.Event{events.HostRemoved{Host: s.Registered.Host}}, nil
}

// writeOff gives up what the host held. One that serves is not given up by a
// slip: it is lost, or somebody has drained it.
func writeOff(s State) ([]events.Event, error) {
	if !s.Lost && !s.Draining {
		return nil, problem.New(problem.Conflict, "cannot give up what host %s holds: it is there, and serves", s.Registered.Name).
			WithHint("pantheon host drain %s comes first; a machine that is gone counts as lost when its lease has run out", s.Registered.Name)
	}
	return []events.Event{events.HostWrittenOff{Host: s.Registered.Host, Drops: s.Drops(), Bindings: s.Bindings()}}, nil
}

func reportEndpoint(s State, c ReportEndpoint) ([]events.Event, error) {
	colon := strings.LastIndexByte(c.Endpoint, ':')
	port, err := strconv.ParseUint(c.Endpoint[colon+1:], 10, 16)
	if colon < 1 || err != nil || port == 0 {
		return nil, problem.New(problem.Invalid, "cannot take %.60q for where host %s is reached: it is no host:port", c.Endpoint, s.Registered.Name)
	}
	if err := events.CheckText("the endpoint", c.Endpoint, MaxNameBytes); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot take where host %s is reached", s.Registered.Name)
	}
	return unless(s.Endpoint == c.Endpoint, events.HostEndpointChanged{Host: s.Registered.Host, Endpoint: c.Endpoint})
}

func takeRoles(s State, c TakeRoles) ([]events.Event, error) {
	roles := slices.Compact(slices.Sorted(slices.Values(c.Roles)))
	for _, role := range roles {
		if !role.Known() {
			return nil, problem.New(problem.Invalid, "cannot give host %s the role %.40q", s.Registered.Name, role).
				WithHint("control, host, entry or dns")
		}
	}
	if len(roles) == 0 {
		return nil, problem.New(problem.Invalid, "cannot leave host %s without a role", s.Registered.Name).WithHint("control, host, entry or dns")
	}
	if slices.Equal(roles, s.Roles) {
		return nil, nil
	}
	return []events.Event{events.HostRolesChanged{Host: s.Registered.Host, Roles: roles}}, nil
}

func register(s State, c Register) ([]events.Event, error) {
	registered := events.HostRegistered(c)
	if s.Registered == registered {
		return nil, nil
	}
	if _, err := events.ParseHostID(string(c.Host)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot register the host")
	}
	if c.Name == "" || c.MemoryMiB <= 0 || c.Cores <= 0 {
		return nil, problem.New(problem.Invalid, "cannot register host %s: name %.40q, %d MiB and %d cores; it needs a name and something to offer", c.Host, c.Name, c.MemoryMiB, c.Cores)
	}
	for what, text := range map[string]string{"the name": c.Name, "the zone": c.Zone, "the version": c.Version} {
		if err := events.CheckText(what, text, MaxNameBytes); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot register host %s", c.Host)
		}
	}
	return []events.Event{registered}, nil
}

func reportAddresses(s State, c ReportAddresses) ([]events.Event, error) {
	addresses := make([]string, 0, len(c.Addresses))
	for _, text := range c.Addresses {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return nil, problem.New(problem.Invalid, "cannot take %.60q for an address of host %s", text, s.Registered.Name)
		}
		addresses = append(addresses, address.Unmap().String())
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	if len(addresses) > MaxAddresses {
		return nil, problem.New(problem.Invalid, "cannot take %d addresses for host %s: %d are allowed", len(addresses), s.Registered.Name, MaxAddresses)
	}
	if slices.Equal(addresses, s.Addresses) {
		return nil, nil
	}
	return []events.Event{events.HostAddressesChanged{Host: s.Registered.Host, Addresses: addresses}}, nil
}

// admitDrop takes a DROP. One that is there already gets the spec if it is
// newer, so that asking with fresher knowledge is no contradiction.
func admitDrop(s State, c AdmitDrop) ([]events.Event, error) {
	if _, known := s.drop(c.Drop); known {
		return changeDropSpec(s, ChangeDropSpec(c))
	}
	if _, err := events.ParseDropID(string(c.Drop)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot admit the DROP")
	}
	if err := checkSpec(c.Spec); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot admit DROP %s", c.Drop)
	}
	if err := s.takesMore("DROP " + string(c.Drop)); err != nil {
		return nil, err
	}
	if err := s.runs(c.Spec.Settings.PHPVersion, "admit DROP "+string(c.Drop)); err != nil {
		return nil, err
	}
	if err := s.room("DROP "+string(c.Drop), events.SleepingDropKiB, max(s.LargestDropMiB(), c.Spec.Settings.MemoryMiB)); err != nil {
		return nil, err
	}
	return []events.Event{events.DropAdmitted{Host: s.Registered.Host, Drop: c.Drop, Spec: own(c.Spec)}}, nil
}

func changeDropSpec(s State, c ChangeDropSpec) ([]events.Event, error) {
	old, known := s.drop(c.Drop)
	switch {
	case !known:
		return nil, problem.New(problem.NotFound, "cannot change the spec of DROP %s: host %s does not hold it", c.Drop, s.Registered.Name)
	case c.Spec.Generation < old.Generation:
		return nil, nil
	case c.Spec.Environment != old.Environment, c.Spec.Generation == old.Generation && c.Spec.Settings.MemoryMiB != old.MemoryMiB:
		return nil, problem.New(problem.Conflict, "cannot change the spec of DROP %s: generation %d of environment %s is another spec", c.Drop, old.Generation, old.Environment)
	case c.Spec.Generation == old.Generation:
		return nil, nil
	}
	if err := checkSpec(c.Spec); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot change the spec of DROP %s", c.Drop)
	}
	if err := s.runs(c.Spec.Settings.PHPVersion, "change the spec of DROP "+string(c.Drop)); err != nil {
		return nil, err
	}
	if c.Spec.Settings.MemoryMiB > old.MemoryMiB {
		if err := s.room("DROP "+string(c.Drop), 0, max(s.LargestDropMiB(), c.Spec.Settings.MemoryMiB)); err != nil {
			return nil, err
		}
	}
	return []events.Event{events.DropSpecChanged{Host: s.Registered.Host, Drop: c.Drop, Spec: own(c.Spec)}}, nil
}

func checkSpec(spec events.DropSpec) error {
	if _, err := events.ParseEnvironmentID(string(spec.Environment)); err != nil {
		return err
	}
	if spec.Generation < 1 || spec.Settings.MemoryMiB < 1 {
		return problem.New(problem.Invalid, "its spec has generation %d and %d MiB of memory", spec.Generation, spec.Settings.MemoryMiB)
	}
	return nil
}

// own copies what the spec shares with its sender.
func own(spec events.DropSpec) events.DropSpec {
	spec.Services = slices.Clone(spec.Services)
	spec.Settings.ProtectedWebPaths = slices.Clone(spec.Settings.ProtectedWebPaths)
	return spec
}

func admitBinding(s State, c AdmitBinding) ([]events.Event, error) {
	if spec, known := s.binding(c.Binding); known {
		if spec == c.Spec {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot admit binding %s: host %s holds it with another spec", c.Binding, s.Registered.Name)
	}
	if _, err := events.ParseStreamID(c.Binding.Stream().String()); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot admit the binding")
	}
	if !c.Spec.Kind.Known() || c.Spec.MemoryMiB < 0 {
		return nil, problem.New(problem.Invalid, "cannot admit binding %s: kind %.40q with %d MiB of memory", c.Binding, c.Spec.Kind, c.Spec.MemoryMiB)
	}
	if err := s.takesMore("binding " + string(c.Binding)); err != nil {
		return nil, err
	}
	if err := s.room("binding "+string(c.Binding), c.Spec.ReservationKiB(), s.LargestDropMiB()); err != nil {
		return nil, err
	}
	return []events.Event{events.BindingAdmitted{Host: s.Registered.Host, Binding: c.Binding, Spec: c.Spec}}, nil
}

// takesMore refuses what is new while the host is to become empty, or takes no
// part in the matrix.
func (s State) takesMore(what string) error {
	if s.Draining {
		return problem.New(problem.Exhausted, "cannot admit %s: host %s is being drained", what, s.Registered.Name).
			WithHint("pantheon host undrain %s", s.Registered.Name)
	}
	if s.Roles != nil && !slices.Contains(s.Roles, events.RoleHost) {
		return problem.New(problem.Exhausted, "cannot admit %s: machine %s has no role as a host", what, s.Registered.Name)
	}
	return nil
}

// room refuses what would break (A) of the package comment, and anything while
// the host is lost.
func (s State) room(what string, moreKiB int64, largestMiB int) error {
	if s.Lost {
		return problem.New(problem.Exhausted, "cannot admit %s: host %s is lost", what, s.Registered.Name)
	}
	offered := int64(s.Registered.MemoryMiB) * 1024
	if wanted := s.ReservedKiB + moreKiB + int64(largestMiB)*1024; wanted > offered {
		return problem.New(problem.Exhausted, "cannot admit %s: host %s offers %d MiB, %d would be needed", what, s.Registered.Name, offered/1024, (wanted+1023)/1024).WithHint("offer more with pantheon up --memory, or make DROPs smaller")
	}
	return nil
}

func order(s State, drop events.DropID, ordered events.Event) ([]events.Event, error) {
	if _, known := s.drop(drop); !known {
		return nil, problem.New(problem.NotFound, "cannot find DROP %.40q on host %s", drop, s.Registered.Name).WithHint("pantheon drop list")
	}
	if s.Lost {
		return nil, problem.New(problem.Unavailable, "cannot reach DROP %s: host %s is lost", drop, s.Registered.Name)
	}
	return []events.Event{ordered}, nil
}
