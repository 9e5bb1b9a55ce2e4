package mesh_test

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
	"pantheon/runtime/mesh/mux"
)

// dialAs makes a connection of the mesh by hand.
func dialAs(t testing.TB, node *identity.Node, to events.HostID, address string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, node.Client(to, mesh.Protocol))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// muxAs speaks the streams' protocol by hand.
func muxAs(t testing.TB, node *identity.Node, to events.HostID, address string) *mux.Session {
	t.Helper()
	session := mux.New(dialAs(t, node, to, address), mux.Config{Dialer: true, Tick: 10 * time.Second})
	ended := make(chan error)
	go func() { ended <- session.Run() }()
	t.Cleanup(func() {
		session.Close(errors.New("the test is over"))
		<-ended
	})
	return session
}

func dialJoin(t testing.TB, token identity.Token, address string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, token.JoinClient(mesh.JoinProtocol))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
