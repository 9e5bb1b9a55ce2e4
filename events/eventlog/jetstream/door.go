package jetstream

import (
	"crypto/tls"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// doorkeeper lets this process in with all rights, and others with a verified
// certificate and without those that could destroy the log.
type doorkeeper struct {
	open  func() bool
	admit func(tls.ConnectionState) (Rights, bool) // nil admits all
	// system is the account of who asks the server about itself.
	system func() *server.Account

	mu     sync.Mutex
	inside map[string]tls.ConnectionState // by the client's address
}

// Check implements server.Authentication.
func (d *doorkeeper) Check(client server.ClientAuthentication) bool {
	state := client.GetTLSConnectionState()
	if state == nil {
		// A connection within the process is a pipe; whatever comes by the
		// network has been through TLS when it is asked here.
		address := client.RemoteAddress()
		inside := address == nil || address.Network() == "pipe"
		if inside && client.GetOpts().Username == systemUser && d.system != nil {
			client.RegisterUser(&server.User{Username: systemUser, Account: d.system()})
		}
		return inside
	}
	if len(state.VerifiedChains) == 0 || !d.open() {
		return false
	}
	d.enter(client.RemoteAddress(), *state) // before admit is asked, so that turnAway misses nobody
	rights := Rights{}
	if d.admit != nil {
		var admitted bool
		if rights, admitted = d.admit(*state); !admitted {
			return false
		}
	}
	permissions := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: rights.Publish, Deny: deniedToClients},
		Subscribe: &server.SubjectPermission{Allow: rights.Subscribe, Deny: []string{"$SYS.>"}},
	}
	if rights.Publish != nil {
		permissions.Response = &server.ResponsePermission{MaxMsgs: 1, Expires: answerTimeout}
	}
	client.RegisterUser(&server.User{Permissions: permissions})
	return true
}

func (d *doorkeeper) enter(address net.Addr, state tls.ConnectionState) {
	if address == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside == nil {
		d.inside = make(map[string]tls.ConnectionState)
	}
	d.inside[address.String()] = state
}

// mayStay says whether a client would be let in now.
func (d *doorkeeper) mayStay(state tls.ConnectionState, now time.Time) bool {
	if now.After(state.PeerCertificates[0].NotAfter) {
		return false
	}
	if d.admit == nil {
		return true
	}
	_, admitted := d.admit(state)
	return admitted
}

// turnAway ends the connections of clients that would not be let in now, and of
// those whose certificate has ended. It gives how many.
func (e *engine) turnAway(now time.Time) (ended int) {
	if e.door == nil {
		return 0
	}
	e.door.mu.Lock()
	left := make(map[string]tls.ConnectionState, len(e.door.inside))
	for address, state := range e.door.inside {
		left[address] = state
	}
	e.door.mu.Unlock()
	if len(left) == 0 {
		return 0
	}
	there, err := e.server.Connz(&server.ConnzOptions{Limit: maxConnections})
	if err != nil {
		return 0 // it is being stopped
	}
	for _, one := range there.Conns {
		address := net.JoinHostPort(one.IP, strconv.Itoa(one.Port))
		state, known := left[address]
		if !known {
			continue
		}
		delete(left, address)
		if e.door.mayStay(state, now) {
			continue
		}
		if e.server.DisconnectClientByID(one.Cid) == nil {
			ended++
		}
	}
	e.door.mu.Lock()
	defer e.door.mu.Unlock()
	for address := range left { // has gone
		delete(e.door.inside, address)
	}
	return ended
}

// TurnAway ends the connections of clients that Listen.Admit no longer admits,
// and of those whose certificate has ended: who has another one comes back. It
// gives how many.
func (l *Log) TurnAway() int { return l.wire.current.Load().turnAway(time.Now()) }

// TurnAway is Log.TurnAway.
func (m *Member) TurnAway() int { return m.wire.current.Load().turnAway(time.Now()) }
