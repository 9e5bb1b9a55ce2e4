package actors

import (
	"container/list"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"pantheon/events"
	"pantheon/events/problem"
)

// directory knows the live actors. It posts every command under its lock, so
// an actor that is stopped has nothing under way and never gets anything
// afterwards: no command is lost between the two.
type directory struct {
	options Options
	engine

	mu        sync.Mutex
	residents map[events.StreamID]*resident
	idle      *list.List // of *resident without a command, longest idle first
	underWay  int        // commands of all residents
	tickets   Ticket
	spawned   uint64
	sweep     *time.Timer // the one timer for all; armed while idle is not empty
	armed     bool
	closed    bool
	drained   *sync.Cond // underWay is 0 and no actor lives
	living    int        // spawned and not yet stopped
	refused   uint64     // commands answered Busy here
}

// engine is what the directory needs of protoactor.
type engine struct {
	spawn func(r *resident, incarnation uint64) (*actor.PID, error)
	send  func(*actor.PID, any)
	stop  func(*actor.PID)
}

// resident is one live actor. The actor's own goroutine owns entity; the rest
// belongs to the directory's lock.
type resident struct {
	stream events.StreamID
	pid    *actor.PID
	entity *Entity

	underWay  map[Ticket]chan AnswerCommand // each with room for its one answer
	position  *list.Element                 // in idle; nil while commands are under way
	idleSince time.Time
	gone      bool // stopped, or given up by the supervisor
}

func newDirectory(options Options, engine engine) *directory {
	d := &directory{options: options, engine: engine, residents: map[events.StreamID]*resident{}, idle: list.New()}
	d.drained = sync.NewCond(&d.mu)
	return d
}

// deliver posts a command to its actor and gives the channel of its answer.
func (d *directory) deliver(to events.StreamID, meta events.Meta, command any) (<-chan AnswerCommand, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, problem.New(problem.Unavailable, "cannot carry out %T: the platform is shutting down", command).WithHint("try again when it is up")
	}
	r, err := d.resident(to)
	if err != nil {
		return nil, err
	}
	if len(r.underWay) >= d.options.MailboxCommands {
		d.refused++
		return nil, problem.New(problem.Busy, "cannot carry out %T: %d commands wait for %s", command, len(r.underWay), to).WithHint("try again")
	}
	d.tickets++
	d.underWay++
	answered := make(chan AnswerCommand, 1)
	r.underWay[d.tickets] = answered
	if r.position != nil {
		d.idle.Remove(r.position)
		r.position = nil
	}
	d.send(r.pid, CommandReceived{d.tickets, meta, command})
	return answered, nil
}

// resident gives the live actor of a stream, spawned now if there is none.
func (d *directory) resident(to events.StreamID) (*resident, error) {
	if r, lives := d.residents[to]; lives {
		return r, nil
	}
	if len(d.residents) >= d.options.ResidentActors {
		longest := d.idle.Front()
		if longest == nil {
			d.refused++
			return nil, problem.New(problem.Busy, "cannot carry out the command: %d actors are at work", len(d.residents)).WithHint("try again")
		}
		d.evict(longest.Value.(*resident))
	}
	r := &resident{stream: to, underWay: map[Ticket]chan AnswerCommand{}}
	d.spawned++
	pid, err := d.spawn(r, d.spawned)
	if err != nil {
		return nil, err
	}
	r.pid = pid
	d.living++
	d.residents[to] = r
	return r, nil
}

// evict stops an idle actor.
func (d *directory) evict(r *resident) {
	if r.position != nil {
		d.idle.Remove(r.position)
		r.position = nil
	}
	r.gone = true
	delete(d.residents, r.stream)
	d.stop(r.pid)
}

// answer ends one command of a resident.
func (d *directory) answer(r *resident, answer AnswerCommand) {
	d.mu.Lock()
	answered, waits := r.underWay[answer.Ticket]
	if waits {
		delete(r.underWay, answer.Ticket)
		d.underWay--
		if len(r.underWay) == 0 && !r.gone {
			r.idleSince = time.Now()
			r.position = d.idle.PushBack(r)
			d.arm()
		}
		if d.underWay == 0 {
			d.drained.Broadcast()
		}
	}
	d.mu.Unlock()
	if waits {
		answered <- answer
	}
}

// post sends a result of the log to a resident, unless it was given up.
func (d *directory) post(r *resident, message Input) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !r.gone {
		d.send(r.pid, message)
	}
}

// abandon gives a resident up: everything under way is answered with err, and
// the next command finds a new actor. The caller stops it.
func (d *directory) abandon(r *resident, err error) {
	d.mu.Lock()
	if !r.gone {
		r.gone = true
		delete(d.residents, r.stream)
	}
	given := r.underWay
	r.underWay = nil
	d.underWay -= len(given)
	d.drained.Broadcast()
	d.mu.Unlock()
	for ticket, answered := range given {
		answered <- AnswerCommand{Ticket: ticket, Err: err}
	}
}

// stopped notes that an actor has handled its last message.
func (d *directory) stopped() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.living--
	d.drained.Broadcast()
}

// arm sets the timer for the longest idle resident.
func (d *directory) arm() {
	if d.armed || d.closed || d.idle.Len() == 0 {
		return
	}
	d.armed = true
	wait := max(0, d.options.IdleAfter-time.Since(d.idle.Front().Value.(*resident).idleSince))
	if d.sweep == nil {
		d.sweep = time.AfterFunc(wait, d.passivate)
	} else {
		d.sweep.Reset(wait)
	}
}

// passivate stops who has been idle for long enough, a bounded number at once.
func (d *directory) passivate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	for range evictedAtOnce {
		longest := d.idle.Front()
		if longest == nil || time.Since(longest.Value.(*resident).idleSince) < d.options.IdleAfter {
			break
		}
		d.evict(longest.Value.(*resident))
	}
	d.arm()
}

// close refuses what comes, waits for what is under way, and stops all.
func (d *directory) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.sweep != nil {
		d.sweep.Stop()
	}
	for d.underWay > 0 {
		d.drained.Wait()
	}
	for _, r := range d.residents {
		d.evict(r)
	}
	for d.living > 0 {
		d.drained.Wait()
	}
}

// Statistics are counters of a System at one moment.
type Statistics struct {
	Resident int    // actors in memory
	Idle     int    // of these, without a command
	UnderWay int    // commands not answered yet
	Refused  uint64 // commands answered Busy because a bound was reached
}

// Statistics gives the counters.
func (d *directory) Statistics() Statistics {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Statistics{len(d.residents), d.idle.Len(), d.underWay, d.refused}
}
