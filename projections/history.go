package projections

import (
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"pantheon/events"
	"pantheon/events/problem"
)

// Compared is a State that knows what it costs to keep beside another one.
// Where a state does not, each commit between two counts as one record.
type Compared[S any] interface {
	// Differences counts the records that a later state does not share.
	Differences(later S) int
}

// rangeReader is a log that need not read behind what is wanted (an
// eventlog.RangeReader).
type rangeReader interface {
	Between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error]
}

// HistoryOptions of a History.
type HistoryOptions struct {
	// Log is read; required.
	Log Log
	// EveryCommits is how far kept states are apart at first. Default: 2,048.
	EveryCommits int
	// MaxRecords bounds the memory of kept states, in records that they do not
	// share with one another. Default: 400,000, about 200 MiB.
	MaxRecords int
	// Past saves some states for later starts, at most maxPast. Default: none, and
	// the first question about what lies before a start folds from the log's
	// beginning.
	Past Past
	// PastEveryCommits is how far saved states are apart at first. Default:
	// 100,000.
	PastEveryCommits int
}

// History gives the states of one view at past positions.
//
// States are persistent, so an old one costs only what has changed since. The
// history keeps one every so many commits: those that the live fold offers, as
// it passes, and those that a question folds on its way. A question takes the
// nearest kept state before its position and folds the commits between. When
// the kept states become too many or too heavy, every second one is forgotten
// and the distance doubles.
//
// A live view that began from a snapshot shares nothing with what is folded
// from the log's beginning, or from a saved state (see Past): the first question
// about a position before the snapshot folds from there, and from then on the
// history holds one more whole state beside the differences that its bound
// counts; with saved states, of which one counts at a time, two.
//
// The live fold never waits: what it offers while Run is busy is not kept.
// Questions fold with bounded concurrency, long folds one at a time, and end
// with their context.
type History[S State[S]] struct {
	projection  Projection[S]
	view        *View[S]
	options     HistoryOptions
	offers      chan published[S]
	every       atomic.Uint64 // commits between kept states
	wanted      atomic.Uint64 // the position from which the next offer is taken
	short, long chan struct{} // one element for each fold under way

	changing sync.Mutex                // held by who changes kept
	kept     atomic.Pointer[[]kept[S]] // by position, from 0; never changed in place
	loaded   origin                    // of the saved state that is in use; under changing
	past     *pastStates[S]            // nil for none

	mu       sync.Mutex
	answered []kept[S] // the newest answers, newest first
}

// kept is a state and what it costs.
type kept[S any] struct {
	published[S]
	origin  origin
	records int // not shared with the one before it of the same origin
}

// origin is where a state was folded from; only states of the same origin share
// their records: the log's beginning (0), a saved state (its position), or what
// the live view began with.
type origin uint64

const live origin = math.MaxUint64

func (o origin) isSaved() bool { return o != 0 && o != live }

// NewHistory gives the history of a view that was added to a runner with the
// same projection, before the runner runs.
func NewHistory[S State[S]](view *View[S], projection Projection[S], options HistoryOptions) *History[S] {
	if options.EveryCommits == 0 {
		options.EveryCommits = keptEveryCommits
	}
	if options.MaxRecords == 0 {
		options.MaxRecords = maxKeptRecords
	}
	h := &History[S]{
		projection: projection, view: view, options: options,
		offers: make(chan published[S], offersQueued),
		short:  make(chan struct{}, maxShortFolds), long: make(chan struct{}, 1),
	}
	if options.PastEveryCommits == 0 {
		options.PastEveryCommits = pastEveryCommits
	}
	h.every.Store(uint64(options.EveryCommits))
	h.kept.Store(&[]kept[S]{{published: published[S]{state: projection.Empty}}})
	if options.Past != nil {
		h.past = newPastStates(projection, options)
	}
	view.offer = h.offer
	return h
}

// Run keeps what the live fold offers, until ctx ends, and saves some of it.
func (h *History[S]) Run(ctx context.Context) error {
	if h.past != nil {
		var saving sync.WaitGroup
		saving.Go(func() { h.past.run(ctx) })
		defer saving.Wait()
	}
	for {
		select {
		case offered := <-h.offers:
			h.keep(kept[S]{published: offered, origin: live})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// offer is called by the live fold with each state that it publishes.
func (h *History[S]) offer(p published[S]) {
	if uint64(p.position) < h.wanted.Load() {
		return
	}
	select {
	case h.offers <- p:
		h.wanted.Store(h.following(p.position))
	default:
	}
}

// following gives the first position after which the next state is kept.
func (h *History[S]) following(position events.Position) uint64 {
	every := h.every.Load()
	return (uint64(position)/every + 1) * every
}

// Load gives the newest state and its position: the view's own.
func (h *History[S]) Load() (S, events.Position) { return h.view.Load() }

// Wait returns when the view has reached a position: see View.Wait.
func (h *History[S]) Wait(ctx context.Context, position events.Position) error {
	return h.view.Wait(ctx, position)
}

// At gives the state as of a position: every commit up to it is folded, none
// behind it.
func (h *History[S]) At(ctx context.Context, position events.Position) (S, error) {
	if err := h.reach(ctx, position); err != nil {
		var none S
		return none, err
	}
	if live, head := h.view.Load(); position == head {
		return live, nil
	}
	from := h.before(position)
	if from.position == position {
		return from.state, nil
	}
	slots, isLong := h.short, h.isLong(from.position, position)
	if isLong {
		slots = h.long
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		var none S
		return none, ctx.Err()
	}
	from = h.before(position) // another question may have folded it meanwhile
	if isLong {
		from = h.fromPast(ctx, from, position)
	}
	return h.fold(ctx, from, position)
}

// isLong says whether many kept states would fit between two positions.
func (h *History[S]) isLong(from, to events.Position) bool {
	return uint64(to-from) > longFold*h.every.Load()
}

// fromPast gives a saved state instead of one that is far away, if there is one.
func (h *History[S]) fromPast(ctx context.Context, from kept[S], position events.Position) kept[S] {
	if h.past == nil {
		return from
	}
	near := from.position + events.Position(longFold*h.every.Load()) // not worth it
	saved, found := h.past.load(ctx, near, position, h.view.Position())
	if !found {
		return from
	}
	state := kept[S]{published: saved, origin: origin(saved.position)}
	h.use(state)
	return state
}

// use keeps a saved state, and none that came from another one.
func (h *History[S]) use(state kept[S]) {
	other := func(k kept[S]) bool { return k.origin.isSaved() && k.origin != state.origin }
	h.changing.Lock()
	h.loaded = state.origin
	all := slices.DeleteFunc(slices.Clone(*h.kept.Load()), other)
	h.kept.Store(&all)
	h.changing.Unlock()
	h.mu.Lock()
	h.answered = slices.DeleteFunc(h.answered, other)
	h.mu.Unlock()
	h.keep(state)
}

// reach waits until the view holds a position that is in the log.
func (h *History[S]) reach(ctx context.Context, position events.Position) error {
	if h.view.Position() >= position {
		return nil
	}
	head, err := h.options.Log.Head(ctx)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the log's end")
	}
	if position > head {
		return problem.New(problem.Invalid, "cannot show position %d: the log ends at %d", position, head)
	}
	return h.view.Wait(ctx, position)
}

// before gives the nearest known state at or before a position.
func (h *History[S]) before(position events.Position) kept[S] {
	all := *h.kept.Load()
	i, found := slices.BinarySearchFunc(all, position, comparePosition[S])
	if !found {
		i-- // the first is at 0
	}
	nearest := all[i]
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, answer := range h.answered {
		if answer.position <= position && answer.position > nearest.position {
			nearest = answer
		}
	}
	return nearest
}

func comparePosition[S any](k kept[S], position events.Position) int {
	switch {
	case k.position < position:
		return -1
	case k.position > position:
		return 1
	}
	return 0
}

// fold goes from a known state to a position and keeps states on the way.
func (h *History[S]) fold(ctx context.Context, from kept[S], position events.Position) (S, error) {
	state, next := from.state.Edit(), h.following(from.position)
	for envelope, err := range h.between(ctx, from.position, position) {
		if err != nil {
			var none S
			if ctx.Err() != nil {
				return none, ctx.Err()
			}
			return none, problem.Wrap(problem.Unavailable, err, "cannot read the log as of position %d", position)
		}
		state = state.Apply(envelope)
		if uint64(envelope.Position) >= next {
			passed := published[S]{state.Seal(), envelope.Position, envelope.Hash}
			h.keep(kept[S]{published: passed, origin: from.origin})
			state, next = passed.state.Edit(), h.following(envelope.Position)
		}
	}
	answer := kept[S]{published: published[S]{state: state.Seal(), position: position}, origin: from.origin}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = append([]kept[S]{answer}, h.answered[:min(len(h.answered), keptAnswers-1)]...)
	return answer.state, nil
}

// between gives the commits of a part of the log.
func (h *History[S]) between(ctx context.Context, after, upTo events.Position) iter.Seq2[events.Envelope, error] {
	if log, can := h.options.Log.(rangeReader); can {
		return log.Between(ctx, after, upTo)
	}
	return func(yield func(events.Envelope, error) bool) {
		for envelope, err := range h.options.Log.All(ctx, after) {
			if err == nil && envelope.Position > upTo || !yield(envelope, err) {
				return
			}
		}
	}
}

// keep remembers one state, and forgets others where there are too many.
func (h *History[S]) keep(state kept[S]) {
	h.changing.Lock()
	defer h.changing.Unlock()
	if h.past != nil {
		h.past.offer(state.published)
	}
	old := *h.kept.Load()
	i, found := slices.BinarySearchFunc(old, state.position, comparePosition[S])
	if found || state.origin.isSaved() && state.origin != h.loaded {
		return
	}
	all := slices.Insert(slices.Clone(old), i, state)
	weigh(all, i)
	if next := slices.IndexFunc(all[i+1:], func(k kept[S]) bool { return k.origin == state.origin }); next >= 0 {
		weigh(all, i+1+next)
	}
	for tooMany(all, h.options.MaxRecords) {
		every := 2 * h.every.Load()
		h.every.Store(every)
		all = thin(all, every)
	}
	h.kept.Store(&all)
}

// weigh counts what one kept state does not share with the one before it.
func weigh[S State[S]](all []kept[S], i int) {
	all[i].records = 0
	for j := i - 1; j >= 0; j-- {
		if all[j].origin == all[i].origin {
			all[i].records = differences(all[j].published, all[i].published)
			return
		}
	}
}

func differences[S any](a, b published[S]) int {
	if compared, can := any(a.state).(Compared[S]); can {
		return compared.Differences(b.state)
	}
	return int(b.position - a.position)
}

func tooMany[S any](all []kept[S], maxRecords int) bool {
	records := 0
	for _, k := range all {
		records += k.records
	}
	return len(all) > 1 && (len(all) > maxKeptStates || records > maxRecords)
}

// thin leaves the first state of every stretch of the log.
func thin[S State[S]](all []kept[S], every uint64) []kept[S] {
	left := make([]kept[S], 0, len(all))
	for _, k := range all {
		if n := len(left); n > 0 && uint64(k.position)/every == uint64(left[n-1].position)/every {
			continue
		}
		left = append(left, k)
	}
	for i := range left {
		weigh(left, i)
	}
	return left
}
