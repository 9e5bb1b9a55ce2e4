package jetstream

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"pantheon/events/problem"
)

// doorkeeper lets this process in with all rights, and others with a verified
// certificate and without those that could destroy the log. Each guest has an
// account of its own.
type doorkeeper struct {
	open   func() bool
	admit  func(tls.ConnectionState) (Rights, bool) // nil admits all
	server *server.Server                           // set before it takes connections

	mu     sync.Mutex
	inside map[string]tls.ConnectionState // by the client's address

	furnishing sync.Mutex
	guests     map[string]*server.Account // with all that passes between them and the log's
}

// Check implements server.Authentication.
func (d *doorkeeper) Check(client server.ClientAuthentication) bool {
	state := client.GetTLSConnectionState()
	if state == nil {
		// A connection within the process is a pipe; whatever comes by the
		// network has been through TLS when it is asked here.
		address := client.RemoteAddress()
		inside := address == nil || address.Network() == "pipe"
		if inside && client.GetOpts().Username == systemUser {
			client.RegisterUser(&server.User{Username: systemUser, Account: d.server.SystemAccount()})
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
	user := &server.User{Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: deniedToClients},
		Subscribe: &server.SubjectPermission{Deny: []string{"$SYS.>"}},
	}}
	if rights.Guest != "" {
		var err error
		if user.Account, err = d.guest(rights); err != nil {
			d.server.Errorf("cannot let client %s in: %v", rights.Guest, err)
			return false
		}
		user.Permissions.Publish.Allow = slices.Concat(rights.Ask, rights.AskMany)
		user.Permissions.Subscribe.Allow = append([]string{nats.InboxPrefix + ">"}, rights.Hear...)
	}
	client.RegisterUser(user)
	return true
}

// guest gives a guest's account. Subject permissions alone would not keep guests
// from one another and from the log: whoever asks chooses the subject of the
// answer, and the server publishes there what it was asked for, whether the one
// who asked may or not. In an account of its own a guest makes all this go to
// itself: what gets out are the subjects that it may publish to anyway.
func (d *doorkeeper) guest(rights Rights) (*server.Account, error) {
	d.furnishing.Lock()
	defer d.furnishing.Unlock()
	if account, furnished := d.guests[rights.Guest]; furnished {
		return account, nil
	}
	// Members name it to one another in lines of words, and in subjects.
	if strings.ContainsAny(rights.Guest, " .*>\t\r\n") {
		return nil, problem.New(problem.Invalid, "cannot name an account %.200q", rights.Guest)
	}
	account, _ := d.server.LookupOrRegisterAccount("guest-" + rights.Guest)
	own, only := d.server.GlobalAccount(), []*server.Account{account}
	var failed []error
	for _, subject := range rights.Ask {
		failed = append(failed, own.AddServiceExport(subject, only), account.AddServiceImport(own, subject, subject))
	}
	for _, subject := range rights.AskMany {
		failed = append(failed, own.AddServiceExportWithResponse(subject, server.Streamed, only), account.AddServiceImport(own, subject, subject))
	}
	for _, subject := range rights.Hear {
		failed = append(failed, own.AddStreamExport(subject, only), account.AddStreamImport(own, subject, ""))
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if d.guests == nil {
		d.guests = map[string]*server.Account{}
	}
	d.guests[rights.Guest] = account
	return account, nil
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
