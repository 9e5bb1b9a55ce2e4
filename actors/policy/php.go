package policy

import "slices"

// Which versions of PHP hosts have is a fact of theirs; one that has not said takes
// every DROP.

// lacks says whether the host is known not to have a version of PHP.
func (h *hostState) lacks(php string) bool {
	return php != "" && h.PHP != nil && !slices.Contains(h.PHP, php)
}

// php is the version that a DROP is to run with; empty while that is not known.
func (p *planner) php(d *dropState) string {
	if env := p.site.environment(d.Environment); env != nil {
		return env.Settings.PHPVersion
	}
	return ""
}

// lackedByAll says whether no host of the cell has a version of PHP, also none of
// those that take nothing now.
func (s *State) lackedByAll(php string) bool {
	for _, h := range s.Hosts { // any will do
		if !h.Closed && !h.lacks(php) {
			return false
		}
	}
	return len(s.Hosts) > 0
}

// misplaced says whether the DROP's host lacks the version of PHP that it is to run
// with, and another one has it.
func (p *planner) misplaced(d *dropState) bool {
	if d.Admitted == "" || !p.Hosts[d.Admitted].lacks(p.php(d)) {
		return false
	}
	for _, h := range p.Hosts { // any will do
		if h.closed() == "" && !h.lacks(p.php(d)) {
			return true
		}
	}
	return false
}

// phpChanged has the sites planned whose DROPs are on a host of which something else
// is known now, or wait for a version of PHP.
func (s *State) phpChanged(h *hostState, versions []string) {
	h.PHP = versions
	s.hostsChanged()
	s.lookAt(h)
	for id, of := range s.Sites {
		for _, d := range of.Drops {
			if env := of.environment(d.Environment); env != nil && env.Settings.PHPVersion != d.Spec.Settings.PHPVersion {
				s.dirty[id] = true
			}
		}
	}
}
