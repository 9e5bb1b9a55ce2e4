package events

// Reservations are what a host sets aside for what it has admitted, whether
// or not it is in use. The host's actor admits by them and the host's agent
// wakes by them, so the rule stands here once. See actors/host for why these
// two suffice.
const (
	// SleepingDropKiB is the most an asleep DROP costs its host: its entry in
	// the agent (at most 4 KiB), its listening socket and its directories in
	// the kernel's caches.
	SleepingDropKiB = 16
	// IdleBindingKiB is what a binding without a process of its own costs while
	// nobody uses it: an entry in the agent, and a database's entry in the
	// server they share.
	IdleBindingKiB = 32
)

// ReservationKiB is what the host sets aside for the binding for good. A cache
// or index has a process of its own that runs always: its whole memory. Code,
// databases and files cost memory only while an awake DROP or a push uses
// them, so their MemoryMiB is a share of what the awake may use.
func (s BindingSpec) ReservationKiB() int64 {
	switch s.Kind {
	case CacheServer, IndexServer:
		return int64(s.MemoryMiB)*1024 + IdleBindingKiB
	case CodeServer, DBServer, FileServer:
		return IdleBindingKiB
	}
	return int64(s.MemoryMiB)*1024 + IdleBindingKiB
}
