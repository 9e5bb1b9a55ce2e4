package simulations

import "time"

// endpoint names a party of the network.
type endpoint int

// network carries messages between endpoints.
type network struct {
	*World
	random  chance
	size    int
	blocked []uint16        // from*size+to: faults that block this way
	clogged []time.Duration // by endpoint: added to each message
}

func newNetwork(w *World, size int) *network {
	return &network{World: w, random: newChance(w.options.Seed, "network"), size: size,
		blocked: make([]uint16, size*size), clogged: make([]time.Duration, size)}
}

// open says whether messages pass one way.
func (n *network) open(from, to endpoint) bool { return n.blocked[int(from)*n.size+int(to)] == 0 }

// block cuts one way; unblock takes one such fault back.
func (n *network) block(from, to endpoint)   { n.blocked[int(from)*n.size+int(to)]++ }
func (n *network) unblock(from, to endpoint) { n.blocked[int(from)*n.size+int(to)]-- }

func (n *network) delay(from, to endpoint) time.Duration {
	d := n.knobs.NetDelay
	if n.knobs.NetJitter > 0 {
		d += n.random.exp(n.knobs.NetJitter)
	}
	return d + n.clogged[from] + n.clogged[to]
}

// send is a datagram: it may be lost, come late, twice and out of order.
func (n *network) send(from, to endpoint, deliver func()) {
	if from == to {
		n.after(0, deliver)
		return
	}
	if !n.open(from, to) || n.random.yes(n.knobs.Loss) {
		n.trace.step(n.now, "lost", n.names[from], n.names[to], 0)
		return
	}
	n.after(n.delay(from, to), deliver)
	if n.random.yes(n.knobs.Duplicate) {
		n.trace.step(n.now, "twice", n.names[from], n.names[to], 0)
		n.after(n.delay(from, to), deliver)
	}
}

// stream is a message on a connection: what is lost is sent again, and false
// means that there is no connection.
func (n *network) stream(from, to endpoint, deliver func()) bool {
	if from == to {
		n.after(0, deliver)
		return true
	}
	if !n.open(from, to) || !n.open(to, from) {
		return false
	}
	d := n.delay(from, to)
	for n.random.yes(n.knobs.Loss) && d < connectLimit {
		d += retransmission
	}
	n.after(d, deliver)
	return true
}

// retransmission is TCP's least timeout on Linux.
const retransmission = 200 * time.Millisecond
