package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// RemoteOptions of a Remote; all are required.
type RemoteOptions struct {
	// Deciders are the machines that decide, as known now, the one to ask first
	// at the front.
	Deciders func() []events.HostID
	// Ask takes a request to one of them and gives its answer. It returns an
	// error where there is none, at the latest when ctx ends.
	Ask func(ctx context.Context, decider events.HostID, request []byte) ([]byte, error)
}

// Remote is the Commander of a machine that decides nothing itself: commands
// travel to a machine that does. Which one that is does not matter. Where one
// does not answer, the same command goes to the next one: its id gives it one
// effect at most.
type Remote struct {
	options RemoteOptions
	turns   chan struct{}
	silent  atomic.Pointer[silence]

	waiting, refused, retried atomic.Uint64
}

// silence is of the decider that gave no answer last.
type silence struct {
	decider events.HostID
	since   time.Time
}

var _ Commander = (*Remote)(nil)

// NewRemote makes a Remote. It starts nothing.
func NewRemote(options RemoteOptions) *Remote {
	return &Remote{options: options, turns: make(chan struct{}, maxRemoteCommands)}
}

// Do implements Commander. A command has Busy at once while maxRemoteCommands
// are under way, and Unavailable when nobody has answered for remotePatience.
func (r *Remote) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	request, err := EncodeRequest(Request{meta, to, command})
	if err != nil {
		return events.Receipt{}, err
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	default:
		r.refused.Add(1)
		return events.Receipt{}, problem.New(problem.Busy, "cannot carry out %T: %d commands of this machine are under way", command, maxRemoteCommands).WithHint("try again")
	}
	r.waiting.Add(1)
	defer r.waiting.Add(^uint64(0))
	ctx, cancel := context.WithTimeout(ctx, remotePatience)
	defer cancel()
	last := error(problem.New(problem.Unavailable, "this machine knows of no control machine yet"))
	for attempt := remoteAttempt; ; attempt = min(2*attempt, remotePatience) {
		for _, decider := range r.order() {
			receipt, err := r.ask(ctx, attempt, decider, to, request)
			if kind := problem.KindOf(err); err == nil || kind != problem.Unavailable && kind != problem.Busy {
				return receipt, err
			}
			last = err
			if ctx.Err() != nil {
				break
			}
			r.retried.Add(1)
		}
		if problem.KindOf(last) == problem.Busy {
			return events.Receipt{}, last
		}
		select {
		case <-time.After(remotePause):
		case <-ctx.Done():
			return events.Receipt{}, problem.Wrap(problem.Unavailable, last, "cannot have %s decided; the command may still happen", to).
				WithHint("send the same command again; it has one effect at most")
		}
	}
}

// order has who gave no answer a moment ago at its end.
func (r *Remote) order() []events.HostID {
	deciders := slices.Clone(r.options.Deciders())
	if silent := r.silent.Load(); silent != nil && time.Since(silent.since) < remoteSilence {
		if at := slices.Index(deciders, silent.decider); at >= 0 {
			deciders = append(slices.Delete(deciders, at, at+1), silent.decider)
		}
	}
	return deciders
}

func (r *Remote) ask(ctx context.Context, limit time.Duration, decider events.HostID, to events.StreamID, request []byte) (events.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := r.options.Ask(ctx, decider, request)
	if err != nil {
		r.silent.Store(&silence{decider, time.Now()})
		return events.Receipt{}, problem.Wrap(problem.Unavailable, err, "machine %s gives no answer", decider)
	}
	return DecodeAnswer(to, answer)
}

// RemoteStatistics are counters of a Remote at one moment.
type RemoteStatistics struct {
	UnderWay int    // commands not answered yet
	Refused  uint64 // commands answered Busy here
	Retried  uint64 // attempts that another one followed
}

// Statistics gives the counters.
func (r *Remote) Statistics() RemoteStatistics {
	return RemoteStatistics{int(r.waiting.Load()), r.refused.Load(), r.retried.Load()}
}

// Reception answers the requests of machines that do not decide.
type Reception struct {
	commander Commander

	mu      sync.Mutex
	all     int
	of      map[events.HostID]int // requests under way
	refused uint64
	running sync.WaitGroup
}

// NewReception makes a Reception for a machine that decides.
func NewReception(commander Commander) *Reception {
	return &Reception{commander: commander, of: map[events.HostID]int{}}
}

// Visit is one request that has come in.
type Visit struct {
	From events.HostID
	Text []byte
	// Admit refuses what the machine may not say, and may change the meta of what
	// it may.
	Admit func(ctx context.Context, request *Request) error
	// Respond takes the answer. It is called once, and soon.
	Respond func(answer []byte)
}

// Take answers a request: with Busy at once when too many of this machine, or of
// all, are under way. It does not wait for the answer.
func (r *Reception) Take(ctx context.Context, visit Visit) {
	if err := r.enter(visit.From); err != nil {
		visit.Respond(EncodeAnswer(events.Receipt{}, err))
		return
	}
	r.running.Go(func() {
		defer r.leave(visit.From)
		visit.Respond(EncodeAnswer(r.carryOut(ctx, visit)))
	})
}

func (r *Reception) carryOut(ctx context.Context, visit Visit) (events.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, remotePatience)
	defer cancel()
	request, err := DecodeRequest(visit.Text)
	if err == nil {
		err = visit.Admit(ctx, &request)
	}
	if err != nil {
		return events.Receipt{}, err
	}
	return r.commander.Do(ctx, request.Meta, request.To, request.Command)
}

var errCrowded = errors.New("further ones wait until these are answered")

func (r *Reception) enter(from events.HostID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.of[from] >= maxRequestsOfOne:
		r.refused++
		return problem.Wrap(problem.Busy, errCrowded, "cannot take the command: %d of machine %s are under way", r.of[from], from).WithHint("try again")
	case r.all >= maxRequests:
		r.refused++
		return problem.Wrap(problem.Busy, errCrowded, "cannot take the command: %d of other machines are under way", r.all).WithHint("try again")
	}
	r.all++
	r.of[from]++
	return nil
}

func (r *Reception) leave(from events.HostID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.of[from]--; r.of[from] == 0 {
		delete(r.of, from)
	}
}

// Wait returns when all is answered that was taken.
func (r *Reception) Wait() { r.running.Wait() }

// Statistics gives how many requests are not answered yet, and how many were
// answered Busy here.
func (r *Reception) Statistics() (underWay int, refused uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all, r.refused
}
