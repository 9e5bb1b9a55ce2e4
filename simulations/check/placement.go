package check

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	actordrop "pantheon/actors/drop"
	actorhost "pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
)

// Placements samples what senders were told about the placement of some DROPs:
// by the DROP's own actor, and by each host about that DROP. Where a DROP is, is
// a register; so is whether a host has it. The answers have to be those of some
// order in which the commands happened one after the other, each between its
// sending and its answer.
type Placements struct {
	registers map[register]*history
	past      map[register]placed
}

// register is a DROP, or a DROP at a host.
type register struct {
	drop events.DropID
	host events.HostID // empty for the DROP's own
}

// placed is the value of a register: where the DROP is, or here for a host that
// has it.
type placed struct {
	on       events.HostID
	retiring bool
}

// NewPlacements makes an empty sample.
func NewPlacements() *Placements {
	return &Placements{registers: map[register]*history{}, past: map[register]placed{}}
}

// Past books a commit from before the first command.
func (p *Placements) Past(envelope events.Envelope) {
	for _, event := range envelope.Events {
		switch e := event.(type) {
		case events.DropPlaced:
			p.change(register{drop: e.Drop}, func(r *placed) { r.on = e.Host })
		case events.DropDisplaced:
			p.change(register{drop: e.Drop}, func(r *placed) { r.on = "" })
		case events.DropRetirementRequested:
			p.change(register{drop: e.Drop}, func(r *placed) { r.retiring = true })
		case events.DropRetired:
			p.change(register{drop: e.Drop}, func(r *placed) { r.on = "" })
		case events.DropAdmitted:
			p.change(register{e.Drop, e.Host}, func(r *placed) { r.on = e.Host })
		case events.DropDismissed:
			p.change(register{e.Drop, e.Host}, func(r *placed) { r.on = "" })
		}
	}
}

func (p *Placements) change(of register, with func(*placed)) {
	if !sampled(of.drop) {
		return
	}
	value := p.past[of]
	with(&value)
	p.past[of] = value
}

func sampled(id events.DropID) bool { return hash(string(id), "placement")%4 == 0 }

// outcome is what the sender was told.
type outcome uint8

const (
	unclear outcome = iota // nothing, or that it had been done before
	changed
	same     // the wish was fulfilled already
	conflict // another placement is in the way, or the DROP's end
	denied   // for another reason
)

// Begin notes that a command is sent. Commands of one id are one operation,
// whoever sends them: each of the senders may be told that it has changed
// something, because all of them wanted that.
func (p *Placements) Begin(to events.StreamID, id events.CommandID, command any, now time.Duration) Op {
	of, isPlacement := registerOf(to, command)
	if !isPlacement || !sampled(of.drop) {
		return Op{}
	}
	s := p.registers[of]
	if s == nil {
		if len(p.registers) >= maxStreams {
			return Op{}
		}
		s = &history{ids: map[events.CommandID]int{}, shared: map[int]bool{}}
		p.registers[of] = s
	}
	if n, again := s.ids[id]; again {
		if told := s.ops[n].Output; told == unclear || told == changed {
			s.shared[n] = true
			return Op{s, n}
		}
	}
	if s.full = s.full || len(s.ops) >= maxOperations || s.unclear >= maxUnclear; s.full {
		return Op{}
	}
	s.unclear++
	s.ids[id] = len(s.ops)
	s.ops = append(s.ops, porcupine.Operation{ClientId: len(s.ops), Input: command, Call: int64(now), Output: unclear, Return: math.MaxInt64})
	return Op{s, len(s.ops) - 1}
}

func registerOf(to events.StreamID, command any) (register, bool) {
	own := register{drop: events.DropID(to.ID)}
	switch c := command.(type) {
	case actordrop.Place, actordrop.Displace, actordrop.RequestRetirement, actordrop.Retire, actordrop.Report:
		return own, true
	case actorhost.AdmitDrop:
		return register{c.Drop, events.HostID(to.ID)}, true
	case actorhost.DismissDrop:
		return register{c.Drop, events.HostID(to.ID)}, true
	}
	return register{}, false
}

// End notes what the sender was told.
func (p *Placements) End(op Op, receipt events.Receipt, err error, now time.Duration) {
	if op.of == nil {
		return
	}
	var told outcome
	switch kind := problem.KindOf(err); {
	case err == nil && receipt.Repeated:
	case err == nil && len(receipt.Events) > 0:
		told = changed
	case err == nil:
		told = same
	case kind == problem.Unavailable || kind == problem.Internal || kind == problem.Busy:
	case kind == problem.Conflict:
		told = conflict
	default:
		told = denied
	}
	if told == unclear || op.of.full || op.of.shared[op.n] && told != changed || op.of.ops[op.n].Output != unclear {
		return // it may still happen, or has before it was sent; or it may depend on what was not sampled
	}
	op.of.unclear--
	op.of.ops[op.n].Output = told
	op.of.ops[op.n].Return = int64(now)
}

// Check tells whether the answers about each register can have been given one
// after the other.
func (p *Placements) Check() Checked {
	var found verdicts
	for of, s := range p.registers {
		model := porcupine.Model{
			Init:  func() any { return p.past[of] },
			Step:  func(state, input, output any) (bool, any) { return step(of, state.(placed), input, output.(outcome)) },
			Equal: func(a, b any) bool { return a == b },
		}
		name := "DROP " + string(of.drop)
		if of.host != "" {
			name += " at host " + string(of.host)
		}
		found.add(name, porcupine.CheckOperationsTimeout(model, s.ops, checkTimeout))
	}
	return found.of(len(p.registers))
}

// step is what one command does to a register. It knows the deciders' promises,
// not their code.
func step(of register, at placed, command any, told outcome) (legal bool, next placed) {
	next = at
	effective := false // the command would change something
	switch c := command.(type) {
	case actordrop.Place:
		effective = at.on == "" && !at.retiring
		if next.on = c.Host; told == same {
			return at.on == c.Host && !at.retiring, at
		}
	case actordrop.Displace:
		effective = at.on == c.Host
		next.on = ""
	case actordrop.RequestRetirement:
		effective = !at.retiring
		next.retiring = true
	case actordrop.Retire:
		if told == changed {
			return at.retiring, placed{retiring: true}
		}
		return true, at // its effect is not needed to explain what follows
	case actordrop.Report: // reads the register
		return (told != changed && told != same) || at.on == c.Host || told == same && at.on == "", at
	case actorhost.AdmitDrop:
		effective = at.on == ""
		if next.on = of.host; told == changed {
			return true, next // or a newer spec of what is there
		}
	case actorhost.DismissDrop:
		effective = at.on != ""
		next.on = ""
	}
	switch told {
	case changed:
		return effective, next
	case same:
		return !effective, at
	case conflict:
		return !effective, at
	case unclear:
		if effective {
			return true, next
		}
	case denied:
	}
	return true, at
}
