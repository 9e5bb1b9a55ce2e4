package host

import (
	"slices"

	"pantheon/events"
	"pantheon/events/problem"
)

// MaxPHPVersions of a host, and MaxPHPVersionBytes of each: there are about ten
// that are maintained by anybody.
const (
	MaxPHPVersions     = 32
	MaxPHPVersionBytes = 16
)

func reportSoftware(s State, c ReportSoftware) ([]events.Event, error) {
	versions := slices.Compact(slices.Sorted(slices.Values(c.PHP)))
	if c.Protocol < 1 || len(versions) > MaxPHPVersions {
		return nil, problem.New(problem.Invalid, "cannot take what is installed on host %s: protocol %d, and %d versions of PHP of %d at most", s.Registered.Name, c.Protocol, len(versions), MaxPHPVersions)
	}
	for _, version := range versions {
		if err := events.CheckText("a version of PHP", version, MaxPHPVersionBytes); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot take what is installed on host %s", s.Registered.Name)
		}
	}
	if versions == nil {
		versions = []string{} // it has said so
	}
	if s.Protocol == c.Protocol && s.PHP != nil && slices.Equal(s.PHP, versions) {
		return nil, nil
	}
	return []events.Event{events.HostSoftwareChanged{Host: s.Registered.Host, Protocol: c.Protocol, PHP: versions}}, nil
}

// runs refuses a version of PHP that the host is known not to have.
func (s State) runs(version, what string) error {
	if s.PHP == nil || slices.Contains(s.PHP, version) {
		return nil
	}
	return problem.New(problem.Exhausted, "cannot %s: host %s has no PHP %.20s", what, s.Registered.Name, version).
		WithHint("pantheon host list shows which hosts have it; apt-get install php%[1]s-fpm php%[1]s-cli there, and within a minute this one does", version)
}
