package terms

import (
	"time"

	"pantheon/events"
)

// Holder is a host's side of its lease; make one with NewHolder. Times are
// those of one clock that never goes back and does not stop while the machine
// sleeps.
type Holder struct {
	boot    string
	beat    uint64
	known   bool   // what the bucket holds; false after an answer that never came
	last    Record // where known
	wrote   uint64 // revision of this boot's newest entry; 0 without one
	usurped bool

	term  uint64
	until time.Duration // of the last renewal that was acknowledged
}

// NewHolder begins a host's run, without a lease.
func NewHolder(boot string) Holder { return Holder{boot: boot} }

// Held gives the term and says whether the host has its lease at a time.
func (h *Holder) Held(now time.Duration) (term uint64, held bool) {
	return h.term, now < h.until
}

// Until is when the lease lapses if it is not renewed.
func (h *Holder) Until() time.Duration { return h.until }

// Usurped says that another run has the host's entry: two machines have one
// identity, and the later one goes on.
func (h *Holder) Usurped() bool { return h.usurped }

// Due says what to do now: write, or without a Write read the entry. Reading
// is also how a host waits for its grant.
func (h *Holder) Due(folded events.Revision) (write Write, ok bool) {
	if !h.known || h.usurped {
		return Write{}, false
	}
	ours := h.last.Revision > 0 && h.last.Entry.Boot == h.boot
	next := Entry{Boot: h.boot, Beat: h.beat + 1, Folded: folded}
	switch state := h.last.Entry.State; {
	case ours && state == Held:
		next.State = Held
	case ours && (state == Asking || state == Returning):
		return Write{}, false
	case state == Revoked || state == Returning:
		next.State = Returning
	default:
		next.State = Asking
	}
	h.beat++
	return Write{Entry: next, Expected: h.last.Revision}, true
}

// Read takes the answer to a reading, which may be older than what was written
// last: any replica gives it.
func (h *Holder) Read(record Record) {
	h.known, h.last = true, record
	stranger := record.Revision > 0 && record.Entry.Boot != "" && record.Entry.Boot != h.boot
	h.usurped = h.usurped || stranger && h.wrote > 0 && record.Revision > h.wrote
}

// Wrote takes the bucket's acknowledgement of a write that was sent at a time.
func (h *Holder) Wrote(sent, now time.Duration, write Write, revision uint64) {
	h.known, h.wrote = true, revision
	h.last = Record{Revision: revision, Entry: write.Entry}
	if write.Entry.State != Held {
		return
	}
	if now >= h.until {
		h.term++
	}
	h.until = max(h.until, sent+Hold)
}

// Failed takes an answer that says no, or none at all: what the bucket holds
// has to be read.
func (h *Holder) Failed() {
	h.known = false
}
