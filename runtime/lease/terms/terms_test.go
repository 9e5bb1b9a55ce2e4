package terms

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/events"
)

// The world of these tests has one true time in steps. Every machine reads it
// through a clock of its own, which starts anywhere and runs a little fast or
// slow. Requests and answers take any number of steps or never come; machines
// pause; the bucket goes away and may come back empty.

const step = 10 * time.Millisecond

// clock is a machine's: offset and rate differ from those of the others.
type clock struct {
	offset time.Duration
	rate   float64
}

func (c clock) at(now time.Duration) time.Duration {
	return c.offset + time.Duration(float64(now)*c.rate)
}

// bucket holds the entries and writes them only over the expected revision.
type bucket struct {
	records map[events.HostID]Record
	newest  uint64
	away    bool
}

func (b *bucket) write(host events.HostID, w Write) (uint64, bool) {
	if b.records[host].Revision != w.Expected {
		return 0, false
	}
	b.newest++
	b.records[host] = Record{Host: host, Revision: b.newest, Entry: w.Entry}
	return b.newest, true
}

func (b *bucket) all() []Record {
	var all []Record
	for _, r := range b.records {
		all = append(all, r)
	}
	return all
}

// flight is one exchange on its way: it reaches the bucket, then its answer
// reaches the sender, and either may never happen.
type flight struct {
	reach, back time.Duration // 0: never
	reached     bool
	act         func()
	answer      func()
}

// machine is what hosts and watches have in common.
type machine struct {
	clock   clock
	paused  time.Duration // until then
	next    time.Duration // when it does something again
	flying  []*flight
	pending func(now time.Duration) // an answer that did not come in time
	expires time.Duration
}

type host struct {
	machine
	id     events.HostID
	holder Holder
	dead   time.Duration // since then; 0 while it lives
	boots  int
}

type watcher struct {
	machine
	watch   Watch
	reports []report
}

type report struct {
	host   events.HostID
	lost   bool
	before time.Duration // by the watch's clock; 0 for any time
}

type world struct {
	*rapid.T
	now      time.Duration
	bucket   bucket
	hosts    []*host
	watchers []*watcher
	lost     map[events.HostID]bool // as the log says
	faulty   bool
	revoked  int
	returned int
}

func newWorld(t *rapid.T, hosts, watchers int) *world {
	w := &world{T: t, bucket: bucket{records: map[events.HostID]Record{}}, lost: map[events.HostID]bool{}}
	any := func(label string) clock {
		return clock{offset: time.Duration(rapid.IntRange(1, 1e6).Draw(t, label+" offset")) * time.Millisecond,
			rate: float64(rapid.IntRange(95, 105).Draw(t, label+" rate")) / 100}
	}
	for i := range hosts {
		h := &host{id: events.HostID(fmt.Sprintf("host-%d", i)), machine: machine{clock: any("host")}}
		h.boot()
		w.hosts = append(w.hosts, h)
	}
	for range watchers {
		w.watchers = append(w.watchers, &watcher{watch: NewWatch(), machine: machine{clock: any("watch")}})
	}
	return w
}

func (h *host) boot() {
	h.boots++
	h.holder = NewHolder(fmt.Sprintf("%s/%d", h.id, h.boots))
	h.flying, h.pending = nil, nil
}

// delay is how long a message takes; 0 is for ever.
func (w *world) delay(label string) time.Duration {
	if !w.faulty {
		return step
	}
	switch n := rapid.IntRange(0, 19).Draw(w.T, label); {
	case n < 14:
		return step * time.Duration(1+n%3)
	case n < 18:
		return step * time.Duration(rapid.IntRange(4, 400).Draw(w.T, label+" slow"))
	}
	return 0
}

// send begins an exchange. The sender gives it up after a while; what is on its
// way then may still reach the bucket.
func (m *machine) send(w *world, act, answer func(), expired func()) {
	f := &flight{act: act}
	if d := w.delay("there"); d > 0 {
		f.reach = w.now + d
		if d := w.delay("back"); d > 0 {
			f.back = f.reach + d
		}
	}
	m.flying = append(m.flying, f)
	m.expires = w.now + RenewWithin
	m.pending = func(time.Duration) { f.answer = nil; expired() }
	f.answer = func() { m.pending = nil; answer() }
}

// carry moves messages, also those of paused machines; answers wait for the
// machine.
func (m *machine) carry(w *world) {
	running := m.paused <= w.now
	var kept []*flight
	flying := m.flying
	m.flying = nil // an answer may send the next one
	for _, f := range flying {
		if f.reach == 0 || f.reach > w.now {
			if f.reach != 0 {
				kept = append(kept, f)
			}
			continue
		}
		if !f.reached {
			f.reached = true
			if w.bucket.away {
				continue
			}
			f.act()
		}
		switch {
		case f.back == 0 || f.answer == nil:
		case f.back <= w.now && running:
			f.answer()
		default:
			kept = append(kept, f)
		}
	}
	m.flying = append(kept, m.flying...)
	if m.pending != nil && running && w.now >= m.expires {
		give := m.pending
		m.pending = nil
		give(w.now)
	}
}

func (h *host) turn(w *world) {
	h.carry(w)
	if h.dead > 0 || h.paused > w.now || h.pending != nil || h.next > w.now {
		return
	}
	h.next = w.now + AskEvery
	sent := h.clock.at(w.now)
	write, writes := h.holder.Due(1)
	if !writes {
		var got Record
		h.send(w, func() { got = w.bucket.records[h.id] }, func() { h.holder.Read(got); h.next = w.now }, h.holder.Failed)
		return
	}
	if write.Entry.State == Held {
		h.next = w.now + RenewEvery
	}
	var revision uint64
	var ok bool
	h.send(w, func() { revision, ok = w.bucket.write(h.id, write) }, func() {
		if !ok {
			h.holder.Failed()
			return
		}
		h.holder.Wrote(sent, h.clock.at(w.now), write, revision)
	}, h.holder.Failed)
}

func (c *watcher) turn(w *world) {
	c.carry(w)
	if c.paused > w.now {
		return
	}
	c.deliver(w)
	if c.pending != nil || c.next > w.now {
		return
	}
	c.next = w.now + WatchEvery
	began := c.clock.at(w.now)
	var members []Member
	for _, h := range w.hosts {
		members = append(members, Member{h.id, w.lost[h.id]})
	}
	var records []Record
	c.send(w, func() { records = w.bucket.all() }, func() {
		for _, effect := range c.watch.Round(began, c.clock.at(w.now), members, records) {
			c.perform(w, effect)
		}
	}, c.watch.Failed)
}

func (c *watcher) perform(w *world, effect Effect) {
	switch e := effect.(type) {
	case Revoke:
		// At the moment when the bucket takes it, which is when the host is lost
		// for good, its own side must know.
		revision, ok, sent := uint64(0), false, c.clock.at(w.now)
		c.effect(w, func() {
			if revision, ok = w.bucket.write(e.Host, e.Write); ok {
				w.revoke(e.Host)
			}
		}, func() {
			if ok {
				c.perform(w, c.watch.Revoked(sent, e, revision))
			}
		})
	case Grant:
		c.effect(w, func() {
			if _, ok := w.bucket.write(e.Host, e.Write); ok && w.lost[e.Host] {
				w.Fatalf("%s is granted a lease while the log calls it lost", e.Host)
			}
		}, func() {})
	case ReportLost:
		c.reports = append(c.reports, report{e.Host, true, e.Before})
	case ReportReturned:
		c.reports = append(c.reports, report{e.Host, false, 0})
	}
}

// effect sends a write. Its answer counts for RenewWithin; what is on its way
// then may still reach the bucket. The next round waits that long.
func (c *watcher) effect(w *world, act, answer func()) {
	sent := c.clock.at(w.now)
	c.next = w.now + RenewWithin
	f := &flight{act: act, answer: func() {
		if c.clock.at(w.now)-sent <= RenewWithin {
			answer()
		}
	}}
	if d := w.delay("effect"); d > 0 {
		f.reach = w.now + d
		f.back = f.reach + step
	}
	c.flying = append(c.flying, f)
}

// deliver brings reports to the log.
func (c *watcher) deliver(w *world) {
	for _, r := range c.reports {
		if r.before > 0 && c.clock.at(w.now) > r.before {
			continue
		}
		if !r.lost && w.lost[r.host] {
			w.returned++
		}
		w.lost[r.host] = r.lost
		if r.lost {
			w.mayNotHold(r.host, "is reported as lost")
		}
	}
	c.reports = nil
}

func (w *world) revoke(id events.HostID) {
	w.revoked++
	w.mayNotHold(id, "is revoked")
}

// mayNotHold is the promise: nobody is lost who says that it is alive.
func (w *world) mayNotHold(id events.HostID, why string) {
	for _, h := range w.hosts {
		if h.id != id || h.dead > 0 {
			continue
		}
		if _, held := h.holder.Held(h.clock.at(w.now)); held {
			w.Fatalf("at %v: %s %s and counts itself as holding its lease until %v of its own clock, which says %v",
				w.now, id, why, h.holder.Until(), h.clock.at(w.now))
		}
	}
}

func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += step
		for _, h := range w.hosts {
			h.turn(w)
		}
		for _, c := range w.watchers {
			c.turn(w)
		}
		for id, lost := range w.lost {
			if lost {
				w.mayNotHold(id, "counts as lost")
			}
		}
	}
}

// fault lets something go wrong.
func (w *world) fault() {
	h := rapid.SampledFrom(w.hosts).Draw(w.T, "host")
	c := rapid.SampledFrom(w.watchers).Draw(w.T, "watch")
	length := time.Duration(rapid.IntRange(1, 500).Draw(w.T, "for")) * step
	switch rapid.IntRange(0, 6).Draw(w.T, "fault") {
	case 0, 1:
		h.paused = w.now + length
	case 2:
		c.paused = w.now + length
	case 3:
		w.bucket.away = !w.bucket.away
	case 4:
		h.boot()
		h.flying = nil
	case 5:
		w.bucket.records = map[events.HostID]Record{}
		w.bucket.newest += 1000 // or a revision would stand for two entries
	case 6:
		w.faulty = !w.faulty
	}
}

// TestNobodyIsLostWhoHoldsItsLease: whatever pauses, is lost, is late or comes
// twice, and however many watches there are. When all is well again, everybody
// holds a lease and nobody counts as lost.
func TestNobodyIsLostWhoHoldsItsLease(t *testing.T) {
	revoked, returned := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 3).Draw(t, "hosts"), rapid.IntRange(1, 2).Draw(t, "watches"))
		for range rapid.IntRange(1, 12).Draw(t, "faults") {
			w.fault()
			w.run(time.Duration(rapid.IntRange(1, 300).Draw(t, "between")) * step)
		}
		w.faulty, w.bucket.away = false, false
		w.run(15 * time.Second)
		for _, h := range w.hosts {
			if _, held := h.holder.Held(h.clock.at(w.now)); !held {
				t.Errorf("%s holds no lease although all is well: %+v", h.id, w.bucket.records[h.id])
			}
			if w.lost[h.id] {
				t.Errorf("%s counts as lost although all is well", h.id)
			}
		}
		revoked, returned = revoked+w.revoked, returned+w.returned
	})
	if revoked == 0 || returned == 0 {
		t.Errorf("the schedules have revoked %d leases and brought %d hosts back: they try nothing", revoked, returned)
	}
	t.Logf("%d revoked, %d returned", revoked, returned)
}

// TestDeadHostIsLostWithinItsBound, and nobody else with it.
func TestDeadHostIsLostWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 3, 1)
		w.run(2*time.Second + time.Duration(rapid.IntRange(0, 100).Draw(t, "phase"))*step)
		w.hosts[0].dead = w.now
		// The watch's clock may be slow by a twentieth; messages take a step.
		bound := (LostAfter + 2*WatchEvery + 8*step) * 100 / 95
		for w.run(step); !w.lost["host-0"]; w.run(step) {
			if w.now-w.hosts[0].dead > bound {
				t.Fatalf("dead since %v and not called lost after %v", w.hosts[0].dead, bound)
			}
		}
		w.run(5 * time.Second)
		if w.lost["host-1"] || w.lost["host-2"] || w.revoked != 1 {
			t.Errorf("others were called lost too: %v", w.lost)
		}
	})
}

// TestPauseOfTheWatchCountsAgainstNobody: nor does an outage of the bucket.
func TestPauseOfTheWatchCountsAgainstNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 3, 1)
		w.run(2 * time.Second)
		length := time.Duration(rapid.IntRange(50, 2000).Draw(t, "length")) * step
		if rapid.Bool().Draw(t, "pause") {
			w.watchers[0].paused = w.now + length
		} else {
			w.bucket.away = true
		}
		w.run(length)
		w.bucket.away = false
		w.run(5 * time.Second)
		if w.revoked != 0 {
			t.Errorf("%d hosts were called lost because of %v in which nobody could look", w.revoked, length)
		}
	})
}

// TestReturningHostWaitsForLateReports: a watch that has read the revocation
// may report it until ReportWithin has passed.
func TestReturningHostWaitsForLateReports(t *testing.T) {
	if GrantAfter <= ReportWithin {
		t.Fatal("a host is granted a lease while its loss may still be reported")
	}
	asks := []Record{{Host: "h", Revision: 7, Entry: Entry{State: Returning, Boot: "b"}}}
	round := func(w *Watch, at time.Duration) []Effect {
		return w.Round(at, at+1, []Member{{Host: "h"}}, asks)
	}
	w := NewWatch()
	at := time.Hour
	for end := at + GrantAfter; at <= end; at += WatchEvery {
		if effects := round(&w, at); len(effects) != 0 {
			t.Fatalf("after %v: %+v", at-time.Hour, effects)
		}
	}
	if effects := round(&w, at); len(effects) != 1 || effects[0] != (Grant{"h", Write{Entry{State: Held, Boot: "b"}, 7}}) {
		t.Errorf("in the end: %+v", effects)
	}
}

// TestLapseBeginsATerm: also where nobody has noticed it.
func TestLapseBeginsATerm(t *testing.T) {
	h := NewHolder("a")
	renew := func(sent, acknowledged time.Duration) {
		h.Wrote(sent, acknowledged, Write{Entry: Entry{State: Held, Boot: "a"}}, 1)
	}
	check := func(at time.Duration, term uint64, held bool) {
		t.Helper()
		if gotTerm, got := h.Held(at); gotTerm != term || got != held {
			t.Errorf("at %v: term %d, held %v; want %d, %v", at, gotTerm, got, term, held)
		}
	}
	check(0, 0, false)
	renew(1*time.Second, 1100*time.Millisecond)
	check(2199*time.Millisecond, 1, true)
	renew(1400*time.Millisecond, 2*time.Second)
	check(2599*time.Millisecond, 1, true)
	check(2600*time.Millisecond, 1, false) // since it was sent, not since it was answered
	renew(3*time.Second, 5*time.Second)
	check(5*time.Second, 2, false) // the answer came too late to be worth anything
	renew(5*time.Second, 5100*time.Millisecond)
	check(6*time.Second, 3, true)
}

// TestSecondMachineWithTheSameIdentity takes the lease over; the first stops.
func TestSecondMachineWithTheSameIdentity(t *testing.T) {
	first, second := NewHolder("1"), NewHolder("2")
	b := bucket{records: map[events.HostID]Record{}}
	turn := func(h *Holder) {
		h.Read(b.records["h"])
		if write, ok := h.Due(0); ok {
			if revision, ok := b.write("h", write); ok {
				h.Wrote(1, 2, write, revision)
			}
		}
	}
	turn(&first)
	turn(&second)
	turn(&first)
	if !first.Usurped() || second.Usurped() {
		t.Errorf("the first stops: %v, the second: %v", first.Usurped(), second.Usurped())
	}
}

// A replica that lags behind shows the entry of the run before, also to the one
// that has written over it.
func TestOldReadingUsurpsNobody(t *testing.T) {
	b := bucket{records: map[events.HostID]Record{}}
	before, after := NewHolder("before"), NewHolder("after")
	before.Read(b.records["h"])
	write, _ := before.Due(0)
	revision, _ := b.write("h", write)
	before.Wrote(0, 0, write, revision)
	old := b.records["h"]

	after.Read(old)
	write, _ = after.Due(0)
	if revision, _ = b.write("h", write); revision == 0 {
		t.Fatal("the next run could not ask for the lease")
	}
	after.Wrote(0, 0, write, revision)
	after.Read(old)
	if after.Usurped() {
		t.Fatal("it believes that its forerunner came after it")
	}
	if write, ok := after.Due(0); ok {
		if _, written := b.write("h", write); written {
			t.Fatal("it wrote over what it had not read")
		}
		after.Failed()
	}
	after.Read(b.records["h"])
	if _, ok := after.Due(0); ok || after.Usurped() {
		t.Error("it does not wait for its grant")
	}
}
