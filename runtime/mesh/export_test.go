package mesh

import "pantheon/events"

// Running says whether Run has begun.
func (m *Mesh) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

// Links counts the connections to a host.
func (m *Mesh) Links(host events.HostID) int {
	m.mu.Lock()
	p := m.peerLocked(host)
	m.mu.Unlock()
	return len(p.all())
}
