package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"pantheon/events"
)

// Past is a Store of many states of one view, each under a name of its own.
type Past interface {
	Store
	// Names lists what there is, in any order.
	Names(ctx context.Context) ([]string, error)
	// Remove forgets one; it is no error if there is none.
	Remove(ctx context.Context, name string) error
}

// pastStates are the states of a view that are saved for later starts: one every
// so many commits. When there are too many, every second one is removed and the
// distance doubles.
//
// A state that passes while another one is written is not saved. What cannot be
// read, or is of another log or version, is removed: it can be made again.
type pastStates[S State[S]] struct {
	projection Projection[S]
	options    HistoryOptions
	offers     chan published[S]

	mu     sync.Mutex
	every  uint64            // commits between saved states
	saved  []events.Position // sorted
	listed bool
}

func newPastStates[S State[S]](projection Projection[S], options HistoryOptions) *pastStates[S] {
	return &pastStates[S]{projection: projection, options: options, offers: make(chan published[S]), every: uint64(options.PastEveryCommits)}
}

// name of a saved state; all have the same length.
func (p *pastStates[S]) name(position events.Position) string {
	return fmt.Sprintf("%s@%020d", p.projection.Name, position)
}

// list finds out once what earlier starts have saved. mu is held.
func (p *pastStates[S]) list(ctx context.Context) {
	if p.listed {
		return
	}
	names, err := p.options.Past.Names(ctx)
	if err != nil {
		return // the next one tries again; what cannot be listed cannot be read
	}
	p.listed = true
	for _, name := range names {
		digits, ours := strings.CutPrefix(name, p.projection.Name+"@")
		if position, err := strconv.ParseUint(digits, 10, 64); ours && err == nil && p.name(events.Position(position)) == name {
			p.saved = append(p.saved, events.Position(position))
		}
	}
	slices.Sort(p.saved)
}

// stretch is the part of the log that one saved state is enough for.
func (p *pastStates[S]) stretch(position events.Position) uint64 { return uint64(position) / p.every }

// wants says whether a state should be saved.
func (p *pastStates[S]) wants(ctx context.Context, position events.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list(ctx)
	return p.stretch(position) > 0 && !slices.ContainsFunc(p.saved, func(other events.Position) bool { return p.stretch(other) == p.stretch(position) })
}

// offer hands a state to run, if it waits for one.
func (p *pastStates[S]) offer(state published[S]) {
	select {
	case p.offers <- state:
	default:
	}
}

// run saves what is offered until ctx ends.
func (p *pastStates[S]) run(ctx context.Context) {
	for {
		select {
		case state := <-p.offers:
			if p.wants(ctx, state.position) {
				p.save(ctx, state)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *pastStates[S]) save(ctx context.Context, state published[S]) {
	header := Header{Name: p.name(state.position), Version: p.projection.Version, Position: state.position, Hash: state.hash.String()}
	if p.options.Past.Save(ctx, header, state.state.Save()) != nil {
		return // a full disk, most likely: the next start folds more
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved = append(p.saved, state.position)
	slices.Sort(p.saved)
	for len(p.saved) > maxPast {
		p.every *= 2
		kept := p.saved[:0:0]
		for _, position := range p.saved {
			if n := len(kept); n > 0 && p.stretch(kept[n-1]) == p.stretch(position) {
				_ = p.options.Past.Remove(ctx, p.name(position)) // it costs room, and is listed again
				continue
			}
			kept = append(kept, position)
		}
		p.saved = kept
	}
}

// load gives the newest saved state after a position and up to another one, of a
// log that ends at head.
func (p *pastStates[S]) load(ctx context.Context, after, upTo, head events.Position) (published[S], bool) {
	for {
		position, found := p.newest(ctx, after, upTo)
		if !found {
			return published[S]{}, false
		}
		state, err := p.read(ctx, position, head)
		if err == nil {
			return state, true
		}
		if ctx.Err() != nil {
			return published[S]{}, false
		}
		p.mu.Lock()
		p.saved = slices.DeleteFunc(p.saved, func(other events.Position) bool { return other == position })
		_ = p.options.Past.Remove(ctx, p.name(position)) // it is of no use
		p.mu.Unlock()
	}
}

func (p *pastStates[S]) newest(ctx context.Context, after, upTo events.Position) (events.Position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list(ctx)
	for _, position := range slices.Backward(p.saved) {
		if position <= upTo {
			return position, position > after
		}
	}
	return 0, false
}

func (p *pastStates[S]) read(ctx context.Context, position, head events.Position) (state published[S], err error) {
	err = p.options.Past.Load(ctx, p.name(position), func(header Header, records iter.Seq2[[]byte, error]) error {
		hash, err := hashAt(ctx, p.options.Log, position, head)
		switch {
		case err != nil:
			return err
		case header.Version != p.projection.Version, header.Position != position, header.Hash != hash.String():
			return errOtherPast
		}
		state = published[S]{position: position, hash: hash}
		state.state, err = p.projection.Empty.Load(records)
		return err
	})
	return state, err
}

var errOtherPast = errors.New("it is of another version or another log")
