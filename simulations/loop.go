package simulations

import "time"

// loop is virtual time: a heap of tasks, run in the order of their time and,
// within one time, of their making.
type loop struct {
	now   time.Duration // since the run began
	made  uint64
	tasks []task
	steps uint64
}

type task struct {
	at   time.Duration
	made uint64
	run  func()
}

func (t task) before(o task) bool { return t.at < o.at || t.at == o.at && t.made < o.made }

// at schedules a task; a time that is over means now.
func (l *loop) at(when time.Duration, run func()) {
	l.made++
	l.tasks = append(l.tasks, task{max(when, l.now), l.made, run})
	i := len(l.tasks) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !l.tasks[i].before(l.tasks[parent]) {
			break
		}
		l.tasks[i], l.tasks[parent] = l.tasks[parent], l.tasks[i]
		i = parent
	}
}

func (l *loop) after(delay time.Duration, run func()) { l.at(l.now+delay, run) }

// step runs the next task if it is due before end.
func (l *loop) step(end time.Duration) bool {
	if len(l.tasks) == 0 || l.tasks[0].at > end {
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
