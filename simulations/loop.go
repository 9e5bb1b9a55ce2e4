package simulations

import "time"

// loop is virtual time: tasks, run in the order of their time and, within one
// time, of their making. Those of the present slot of time are a heap, those of
// the next slots wait in a ring of lists: of a large cell's tasks most are timers
// of half an hour, and a heap of them all would be far from the processor.
type loop struct {
	now   time.Duration // since the run began
	made  uint64
	steps uint64

	tasks []task // due before the end of slot: a heap
	slot  int64
	ring  [slotsAhead][]task // of the slots after it
	far   []task             // of those after the ring
	ahead int                // tasks in ring and far
}

const (
	// slotWidth is one slot of time: about a second.
	slotWidth = 1 << 30 * time.Nanosecond
	// slotsAhead reach for more than two hours.
	slotsAhead = 8192
)

type task struct {
	at   time.Duration
	made uint64
	run  func()
}

func (t task) before(o task) bool { return t.at < o.at || t.at == o.at && t.made < o.made }

// at schedules a task; a time that is over means now.
func (l *loop) at(when time.Duration, run func()) {
	l.made++
	l.put(task{max(when, l.now), l.made, run})
}

func (l *loop) after(delay time.Duration, run func()) { l.at(l.now+delay, run) }

func (l *loop) put(t task) {
	switch slot := int64(t.at / slotWidth); {
	case slot <= l.slot:
		l.push(t)
	case slot-l.slot < slotsAhead:
		i := slot % slotsAhead
		l.ring[i] = append(l.ring[i], t)
		l.ahead++
	default:
		l.far = append(l.far, t)
		l.ahead++
	}
}

// next makes the first task the top of the heap; false where there is none.
func (l *loop) next() bool {
	for len(l.tasks) == 0 {
		if l.ahead == 0 {
			return false
		}
		l.slot++
		i := l.slot % slotsAhead
		if i == 0 {
			far := l.far
			l.far = nil
			l.ahead -= len(far)
			for _, t := range far {
				l.put(t)
			}
		}
		l.ahead -= len(l.ring[i])
		for _, t := range l.ring[i] {
			l.push(t)
		}
		clear(l.ring[i])
		l.ring[i] = l.ring[i][:0]
	}
	return true
}

// push adds a task to the heap.
func (l *loop) push(t task) {
	l.tasks = append(l.tasks, t)
	i := len(l.tasks) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !t.before(l.tasks[parent]) {
			break
		}
		l.tasks[i] = l.tasks[parent]
		i = parent
	}
	l.tasks[i] = t
}

// due gives when the next task is, end at the latest.
func (l *loop) due(end time.Duration) time.Duration {
	if !l.next() {
		return end
	}
	return min(l.tasks[0].at, end)
}

// step runs the next task if it is due before end.
func (l *loop) step(end time.Duration) bool {
	if !l.next() || l.tasks[0].at > end {
		return false
	}
	next := l.tasks[0]
	last := len(l.tasks) - 1
	moved := l.tasks[last]
	l.tasks[last] = task{}
	l.tasks = l.tasks[:last]
	if last > 0 {
		l.sink(moved)
	}
	l.now = next.at
	l.steps++
	next.run()
	return true
}

// sink puts a task at the top of the heap and lets it down to its place.
func (l *loop) sink(moved task) {
	i := 0
	for {
		first := 4*i + 1
		if first >= len(l.tasks) {
			break
		}
		child := first
		for other := first + 1; other < min(first+4, len(l.tasks)); other++ {
			if l.tasks[other].before(l.tasks[child]) {
				child = other
			}
		}
		if !l.tasks[child].before(moved) {
			break
		}
		l.tasks[i] = l.tasks[child]
		i = child
	}
	l.tasks[i] = moved
}
