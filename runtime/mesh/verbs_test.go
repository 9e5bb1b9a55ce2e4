package mesh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
)

func TestPingWakesADropElsewhere(t *testing.T) {
	c := newCell(t)
	var sick atomic.Bool
	c.start(beta, func(o *mesh.Options) {
		o.Agent = agent{ping: func(context.Context) error {
			if sick.Load() {
				return problem.New(problem.Busy, "cannot wake: no memory")
			}
			return nil
		}}
	})
	here := c.start(alpha)
	if err := here.Ping(t.Context(), dropID, beta); err != nil {
		t.Error(err)
	}
	sick.Store(true)
	if err := here.Ping(t.Context(), dropID, beta); problem.KindOf(err) != problem.Busy {
		t.Error(err)
	}
}

func TestPingEndsWithItsContext(t *testing.T) {
	c := newCell(t)
	began := make(chan struct{})
	c.start(beta, func(o *mesh.Options) {
		o.Agent = agent{ping: func(ctx context.Context) error { close(began); <-ctx.Done(); return ctx.Err() }}
	})
	here := c.start(alpha)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if err := here.Ping(ctx, dropID, beta); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// services is the database of one binding, which DROPs placed on allowed may
// reach.
type services struct {
	path    string
	allowed events.HostID
	placed  int64
}

func (s services) Socket(_ context.Context, host events.HostID, asked mesh.SocketRequest) (string, error) {
	if host != s.allowed || asked.Binding != bindingID || asked.Drop != dropID {
		return "", problem.New(problem.Denied, "machine %s holds no DROP that has binding %s", host, asked.Binding)
	}
	if asked.Placement < s.placed {
		return "", problem.New(problem.Conflict, "the DROP has been placed elsewhere since")
	}
	return s.path, nil
}

// startService echoes what it is sent, in capitals, until nothing more comes, and
// says goodbye.
func startService(t *testing.T) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "db.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 1000)
				for {
					n, err := conn.Read(buffer)
					if err != nil {
						_, _ = io.WriteString(conn, " bye")
						return
					}
					_, _ = io.WriteString(conn, strings.ToUpper(string(buffer[:n])))
				}
			}()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-served; os.RemoveAll(dir) })
	return path
}

var database = mesh.SocketRequest{Binding: bindingID, Drop: dropID, Placement: 7}

func TestDatabaseOfAnotherMachine(t *testing.T) {
	c := newCell(t)
	path := startService(t)
	c.start(beta, func(o *mesh.Options) { o.Sockets = services{path, alpha, 7} })
	here := c.start(alpha)
	conn, err := here.Socket(t.Context(), beta, database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		if _, err := io.WriteString(conn, "select"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 6)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "SELECT" {
			t.Error(string(answer), err)
		}
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != " bye" {
		t.Error(string(rest), err)
	}
}

// TestDatabaseOfAnotherTenantStaysClosed.
func TestDatabaseOfAnotherTenantStaysClosed(t *testing.T) {
	c := newCell(t)
	path := startService(t)
	there := c.start(beta, func(o *mesh.Options) { o.Sockets = services{path, alpha, 7} })
	here, stranger := c.start(alpha), c.start(gamma)
	entry := c.start("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", func(o *mesh.Options) {
		o.Node = c.node("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", time.Now(), events.RoleEntry)
	})
	with := func(change func(*mesh.SocketRequest)) mesh.SocketRequest {
		asked := database
		change(&asked)
		return asked
	}
	for name, c := range map[string]struct {
		from  *machine
		asked mesh.SocketRequest
		kind  problem.Kind
	}{
		"a machine without such a DROP": {stranger, database, problem.Denied},
		"a machine that holds no DROPs": {entry, database, problem.Denied},
		"another binding":               {here, with(func(r *mesh.SocketRequest) { r.Binding = "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2" }), problem.Denied},
		"a path":                        {here, with(func(r *mesh.SocketRequest) { r.Binding = "../../../run/mysqld/mysqld.sock" }), problem.Invalid},
		"a placement of the past":       {here, with(func(r *mesh.SocketRequest) { r.Placement = 6 }), problem.Conflict},
	} {
		if conn, err := c.from.Socket(t.Context(), beta, c.asked); problem.KindOf(err) != c.kind || conn != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := there.Socket(t.Context(), alpha, database); problem.KindOf(err) != problem.Unsupported {
		t.Error("a machine without services:", err)
	}
}

// TestSocketsOfThePastAreCut: a lost machine that comes back must not write.
func TestSocketsOfThePastAreCut(t *testing.T) {
	c := newCell(t)
	path := startService(t)
	there := c.start(beta, func(o *mesh.Options) { o.Sockets = services{path, alpha, 7} })
	here := c.start(alpha)
	past, err := here.Socket(t.Context(), beta, database)
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	present := database
	present.Placement = 8
	kept, err := here.Socket(t.Context(), beta, present)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if n := there.CutSockets(func(host events.HostID, r mesh.SocketRequest) bool { return host == alpha && r.Placement < 8 }); n != 1 {
		t.Errorf("cut %d", n)
	}
	if _, err := past.Read(make([]byte, 1)); problem.KindOf(err) != problem.Denied {
		t.Error(err)
	}
	if _, err := io.WriteString(kept, "x"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(kept, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

const environmentID = events.EnvironmentID("dev." + string(siteID))

// volumes are the files of one environment, which DROPs placed on allowed may
// reach. What is written to them comes back in capitals.
type volumes struct{ allowed events.HostID }

func (v volumes) Volume(_ context.Context, host events.HostID, asked mesh.FilesRequest) (func(context.Context, io.ReadWriteCloser) error, error) {
	if host != v.allowed || asked.Environment != environmentID || asked.Drop != dropID {
		return nil, problem.New(problem.Denied, "machine %s holds no DROP of %s", host, asked.Environment)
	}
	return func(_ context.Context, conn io.ReadWriteCloser) error {
		buffer := make([]byte, 1000)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return nil
			}
			if _, err := conn.Write(bytes.ToUpper(buffer[:n])); err != nil {
				return err
			}
		}
	}, nil
}

var volume = mesh.FilesRequest{Environment: environmentID, Drop: dropID, Placement: 7}

func TestFilesOfAnotherMachine(t *testing.T) {
	c := newCell(t)
	there := c.start(beta, func(o *mesh.Options) { o.Volumes = volumes{alpha} })
	here, stranger := c.start(alpha), c.start(gamma)
	conn, err := here.Files(t.Context(), beta, volume)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk := func() (string, error) {
		if _, err := io.WriteString(conn, "read"); err != nil {
			return "", err
		}
		answer := make([]byte, 4)
		_, err := io.ReadFull(conn, answer)
		return string(answer), err
	}
	if answer, err := talk(); answer != "READ" {
		t.Error(answer, err)
	}
	with := func(change func(*mesh.FilesRequest)) mesh.FilesRequest {
		asked := volume
		change(&asked)
		return asked
	}
	for name, c := range map[string]struct {
		from  *machine
		asked mesh.FilesRequest
		kind  problem.Kind
	}{
		"a machine without such a DROP": {stranger, volume, problem.Denied},
		"another environment":           {here, with(func(r *mesh.FilesRequest) { r.Environment = "live." + events.EnvironmentID(siteID) }), problem.Denied},
		"a path":                        {here, with(func(r *mesh.FilesRequest) { r.Environment = "../../keys" }), problem.Invalid},
		"no DROP":                       {here, with(func(r *mesh.FilesRequest) { r.Drop = "" }), problem.Invalid},
	} {
		if conn, err := c.from.Files(t.Context(), beta, c.asked); problem.KindOf(err) != c.kind || conn != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := there.Files(t.Context(), alpha, volume); problem.KindOf(err) != problem.Unsupported {
		t.Error("a machine without files:", err)
	}
	stale := func(before int64) func(events.HostID, mesh.FilesRequest) bool {
		return func(host events.HostID, r mesh.FilesRequest) bool { return host == alpha && r.Placement < before }
	}
	if n := there.CutFiles(stale(7)); n != 0 {
		t.Errorf("cut %d of the present", n)
	}
	if n := there.CutFiles(stale(8)); n != 1 {
		t.Errorf("cut %d", n)
	}
	if _, err := talk(); problem.KindOf(err) != problem.Denied {
		t.Error("files of the past:", err)
	}
}

type keys struct{ allowed events.HostID }

func (k keys) SiteKey(_ context.Context, host events.HostID, site events.SiteID) ([]byte, error) {
	if host != k.allowed || site != siteID {
		return nil, problem.New(problem.Denied, "machine %s holds nothing of site %s", host, site)
	}
	return []byte("the key"), nil
}

func TestKeyOfASiteGoesWhereTheSiteIs(t *testing.T) {
	c := newCell(t)
	c.start(beta, func(o *mesh.Options) { o.Keys = keys{alpha} })
	here, stranger := c.start(alpha), c.start(gamma)
	resolver := c.start("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", func(o *mesh.Options) {
		o.Node = c.node("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", time.Now(), events.RoleDNS)
	})
	if key, err := here.SiteKey(t.Context(), beta, siteID); err != nil || string(key) != "the key" {
		t.Error(err)
	}
	for _, m := range []*machine{stranger, resolver} {
		if key, err := m.SiteKey(t.Context(), beta, siteID); problem.KindOf(err) != problem.Denied || key != nil {
			t.Error(err)
		}
	}
	if _, err := here.SiteKey(t.Context(), beta, "../keys"); problem.KindOf(err) != problem.Invalid {
		t.Error(err)
	}
}

// nameKeys gives one key after the other.
type nameKeys []string

func (k nameKeys) NameKeys(_ context.Context, _ events.HostID, r mesh.NameKeysRequest) (mesh.NameKeysReply, error) {
	for i, name := range k {
		if name > r.After {
			return mesh.NameKeysReply{Digest: []byte("all"), Files: map[string][]byte{name: []byte("a secret")}, More: i+1 < len(k)}, nil
		}
	}
	return mesh.NameKeysReply{Digest: []byte("all")}, nil
}

func TestKeysOfNamesGoToNameServers(t *testing.T) {
	c := newCell(t)
	c.start(beta, func(o *mesh.Options) { o.NameKeys = nameKeys{"tsig/a.key", "tsig/b.key"} })
	const resolverID = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
	resolver := c.start(resolverID, func(o *mesh.Options) { o.Node = c.node(resolverID, time.Now(), events.RoleDNS) })
	first, err := resolver.NameKeys(t.Context(), beta, mesh.NameKeysRequest{})
	if err != nil || string(first.Files["tsig/a.key"]) != "a secret" || !first.More {
		t.Errorf("%+v, %v", first, err)
	}
	if last, err := resolver.NameKeys(t.Context(), beta, mesh.NameKeysRequest{After: "tsig/a.key"}); err != nil || len(last.Files["tsig/b.key"]) == 0 || last.More {
		t.Errorf("%+v, %v", last, err)
	}
	const hostOnly = "dddddddddddddddddddddddddddddddd"
	host := c.start(hostOnly, func(o *mesh.Options) { o.Node = c.node(hostOnly, time.Now(), events.RoleHost, events.RoleEntry) })
	if got, err := host.NameKeys(t.Context(), beta, mesh.NameKeysRequest{}); problem.KindOf(err) != problem.Denied || got.Files != nil {
		t.Errorf("a machine that answers for no names gets the keys of names: %v", err)
	}
	if _, err := c.start(gamma).NameKeys(t.Context(), resolverID, mesh.NameKeysRequest{}); problem.KindOf(err) != problem.Unsupported && problem.KindOf(err) != problem.Denied {
		t.Errorf("a machine that is no control machine gives the keys of names: %v", err)
	}
}

// control signs for a cell and redeems one invitation, once.
type control struct {
	c     *cell
	token identity.Token
	used  *atomic.Pointer[events.HostID]
}

func (o control) Renew(_ context.Context, host events.HostID, csr []byte) (mesh.Certificate, error) {
	certificate, err := o.c.authority.SignHost(csr, host, everyRole, time.Now())
	return mesh.Certificate{Certificate: certificate}, err
}

func (o control) Join(ctx context.Context, asked mesh.JoinRequest) (mesh.JoinReply, error) {
	secret, err := identity.ParseSecret(asked.Secret)
	if err != nil || asked.Invitation != o.token.Invitation || secret.Hash() != o.token.Secret.Hash() {
		return mesh.JoinReply{}, problem.New(problem.Denied, "cannot join: the token is not one of this cell").WithHint("make another one")
	}
	if !o.used.CompareAndSwap(nil, &asked.Host) && *o.used.Load() != asked.Host {
		return mesh.JoinReply{}, problem.New(problem.Denied, "cannot join: the token was used")
	}
	certificate, err := o.Renew(ctx, asked.Host, asked.CSR)
	return mesh.JoinReply{
		Certificate: certificate, Cell: o.c.authority.Cell(), Authority: o.c.authority.Certificate(),
		Control: map[string][]string{"mesh": {"192.0.2.1:7443"}}, Settings: map[string]string{"domain": "pantheon.localhost"},
	}, err
}

func startControl(t *testing.T) (*cell, *machine, identity.Token) {
	c := newCell(t)
	o := control{c: c, used: new(atomic.Pointer[events.HostID])}
	o.token = identity.Token{Invitation: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Secret: identity.NewSecret(), Authority: c.authority.Fingerprint()}
	m := c.start(alpha, func(options *mesh.Options) { options.Joiner, options.Renewer = o, o })
	o.token.Addresses = []string{"127.0.0.1:1", m.address} // the first does not answer
	return c, m, o.token
}

func TestMachineJoinsByItsToken(t *testing.T) {
	_, here, token := startControl(t)
	asked := func(host events.HostID) (mesh.JoinReply, error) {
		csr, err := identity.NewRequest()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := mesh.Join(t.Context(), token, mesh.JoinRequest{Host: host, Name: "two", CSR: csr.CSR})
		if err != nil {
			return reply, err
		}
		node, err := identity.InstallNode(t.TempDir(), csr, reply.Certificate.Certificate, reply.Authority)
		if err != nil || node.Host().ID != host {
			t.Error(err)
		}
		return reply, nil
	}
	for range 2 { // the first answer was lost
		reply, err := asked(beta)
		if err != nil || reply.Settings["domain"] != "pantheon.localhost" || reply.Cell != here.node.Host().Cell {
			t.Fatal(reply, err)
		}
	}
	if _, err := asked(gamma); problem.KindOf(err) != problem.Denied {
		t.Error("a used token:", err)
	}
	token.Secret = identity.NewSecret()
	if _, err := asked(beta); problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" {
		t.Error("a wrong secret:", err)
	}
}

// TestSecretIsNotToldToAnotherCell: the token's machine has been taken over by
// one that is not of the cell.
func TestSecretIsNotToldToAnotherCell(t *testing.T) {
	_, _, token := startControl(t)
	thief := newCell(t)
	asked := make(chan struct{}, 1)
	m := thief.start(alpha, func(o *mesh.Options) { o.Joiner = spy(asked) })
	token.Addresses = []string{m.address}
	if _, err := mesh.Join(t.Context(), token, mesh.JoinRequest{Host: beta}); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Error(err)
	}
	if len(asked) > 0 {
		t.Error("the secret was told")
	}
}

type spy chan struct{}

func (s spy) Join(context.Context, mesh.JoinRequest) (mesh.JoinReply, error) {
	s <- struct{}{}
	return mesh.JoinReply{}, errors.New("thanks")
}

func TestCertificateIsRenewedOverTheMesh(t *testing.T) {
	c, _, _ := startControl(t)
	there := c.start(beta)
	before := there.node.Ends()
	ask := func(ctx context.Context, csr []byte) ([]byte, error) {
		answer, err := there.Renew(ctx, alpha, csr)
		return answer.Certificate, err
	}
	if err := there.node.Renew(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	if there.node.Ends().Before(before) || !there.node.Host().Has(events.RoleControl) {
		t.Error(there.node.Ends(), there.node.Host())
	}
	if _, err := c.start(gamma).Renew(t.Context(), beta, nil); problem.KindOf(err) != problem.Unsupported {
		t.Error("a machine that is no control machine signs:", err)
	}
}

func TestCertificateOfADropIsSignedElsewhere(t *testing.T) {
	c := newCell(t)
	c.start(alpha, func(o *mesh.Options) { o.Certifier = drops{c} })
	there := c.start(beta)
	request, err := identity.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	asked := mesh.BindingRequest{Drop: dropID, Environment: environmentID, CSR: request.CSR}
	signed, err := there.SignBinding(t.Context(), alpha, asked)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := request.BindingFiles(signed, c.authority.Certificate()); err != nil {
		t.Error(err)
	}
	if _, err := c.start(gamma).SignBinding(t.Context(), alpha, asked); problem.KindOf(err) != problem.Denied {
		t.Error("a host has a certificate signed for a DROP that is not its own:", err)
	}
	if _, err := there.SignBinding(t.Context(), gamma, asked); problem.KindOf(err) != problem.Unsupported {
		t.Error("a machine that is no control machine signs:", err)
	}
}

// drops signs for the DROP that beta holds.
type drops struct{ *cell }

func (d drops) SignBinding(_ context.Context, host events.HostID, r mesh.BindingRequest) ([]byte, error) {
	if host != beta {
		return nil, problem.New(problem.Denied, "host %s does not hold it", host)
	}
	return d.authority.SignBinding(r.CSR, r.Drop, r.Environment, time.Now())
}

func TestMachineThatWasOffRejoins(t *testing.T) {
	c, here, _ := startControl(t)
	old := c.node(beta, time.Now().Add(-10*24*time.Hour), everyRole...)
	rejoin := func(node *identity.Node) error {
		return node.Renew(t.Context(), func(ctx context.Context, csr []byte) ([]byte, error) {
			answer, err := mesh.Rejoin(ctx, node, []string{here.address}, csr)
			return answer.Certificate, err
		})
	}
	if err := rejoin(old); err != nil || time.Until(old.Ends()) < 23*time.Hour {
		t.Error(old.Ends(), err)
	}
	c.remove(gamma)
	if err := rejoin(c.node(gamma, time.Now().Add(-10*24*time.Hour))); problem.KindOf(err) != problem.Denied {
		t.Error("a removed machine came back:", err)
	}
	if err := rejoin(newCell(t).node(beta, time.Now())); err == nil {
		t.Error("a machine of another cell came in")
	}
}

func TestRemovedMachineIsCutOff(t *testing.T) {
	c := newCell(t)
	there := c.start(beta, serving(nil))
	here := c.start(alpha)
	if err := here.Ping(t.Context(), dropID, beta); err != nil {
		t.Fatal(err)
	}
	c.remove(alpha)
	until(t, func() bool { return there.Links(alpha) == 0 })
	if err := here.Ping(t.Context(), dropID, beta); err == nil {
		t.Error("a removed machine is still heard")
	}
}

// TestStrangersOfTheMesh: whoever is not of the cell gets no stream.
func TestStrangersOfTheMesh(t *testing.T) {
	c, other := newCell(t), newCell(t)
	there := c.start(beta, serving(nil))
	for name, node := range map[string]*identity.Node{
		"another cell":                 other.node(alpha, time.Now(), everyRole...),
		"a certificate that has ended": c.node(alpha, time.Now().Add(-25*time.Hour), everyRole...),
	} {
		directory := newCell(t)
		directory.set(beta, there.address)
		stranger := directory.start(gamma, func(o *mesh.Options) { o.Node, o.Listener = node, nil })
		directory.set(beta, there.address)
		if err := stranger.Ping(t.Context(), dropID, beta); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	if n := there.Links(alpha) + there.Links(beta); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestCopiedDataFolder: two machines with one host id do not talk.
func TestCopiedDataFolder(t *testing.T) {
	c := newCell(t)
	there := c.start(beta, serving(nil))
	twin := c.node(beta, time.Now(), everyRole...)
	conn := dialAs(t, twin, beta, there.address)
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a twin was let in")
	}
	if there.Links(beta) != 0 {
		t.Error("a connection to itself")
	}
}

// TestHostileHeads: verbs of the future and damaged heads are refused, and the connection goes on.
func TestHostileHeads(t *testing.T) {
	c := newCell(t)
	there := c.start(beta, serving(nil), func(o *mesh.Options) { o.Keys = keys{alpha} })
	peer := muxAs(t, c.node(alpha, time.Now(), everyRole...), beta, there.address)
	for _, head := range []string{
		"", "\x00", "\xff", "\x01", "\x01" + string(dropID), "\x01" + string(dropID) + "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"\x01" + strings.Repeat("/", 32) + "\x00\x00\x03GET\x01/\x01h\x08HTTP/1.1\x00\x00",
		"\x01" + string(dropID) + "\x00\x00\x03GET\x03a b\x01h\x08HTTP/1.1\x00\x00",
		"\x01" + string(dropID) + "\x00\x00\x03GET\x01/\x01h\x04HTTP\x00\x00",
		"\x02", "\x02{", "\x02[]", "\x04" + strings.Repeat("[", 10_000), "\x04" + `{"site":7}`, "\x05null",
	} {
		stream, err := peer.Open([]byte(head), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := stream.ReadHead(); err == nil {
			t.Errorf("%.40q was answered: %q", head, answer)
		}
	}
	stream, err := peer.Open(fmt.Appendf(nil, "\x04{\"site\":%q}", siteID), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.ReadHead(); err != nil {
		t.Error("the connection did not survive:", err)
	}
}

// TestHostileApplicants: what is sent where joins are answered.
func TestHostileApplicants(t *testing.T) {
	_, here, token := startControl(t)
	for _, bytes := range []string{"", "\xff\xff\xff\xff", "\x00\x00\x00\x02{}", "\x00\x00\x00\x05{\"joi", "\x00\x00\x00\x0c{\"join\":null}"} {
		conn := dialJoin(t, token, here.address)
		_, _ = io.WriteString(conn, bytes)
		_ = conn.CloseWrite()
		answer, _ := io.ReadAll(conn)
		if strings.Contains(string(answer), "certificate") {
			t.Errorf("%q: %q", bytes, answer)
		}
		conn.Close()
	}
	if _, err := mesh.Join(t.Context(), token, mesh.JoinRequest{Host: beta, Name: strings.Repeat("x", 100_000)}); err == nil {
		t.Error("a question of 100 KB")
	}
}

// late volumes learn during the question that a host may.
type late struct {
	volumes
	during func(asked int)
	asked  *atomic.Int64
}

func (l late) Volume(ctx context.Context, host events.HostID, asked mesh.FilesRequest) (func(context.Context, io.ReadWriteCloser) error, error) {
	l.during(int(l.asked.Add(1)))
	return l.volumes.Volume(ctx, host, asked)
}

// TestChangeWhileAskedForFiles: a connection was cut as one of the past by who
// had not heard yet of what it was allowed by.
func TestChangeWhileAskedForFiles(t *testing.T) {
	c := newCell(t)
	var there *machine
	var asked, changes atomic.Int64
	var placement atomic.Int64
	placement.Store(volume.Placement)
	past := func(_ events.HostID, r mesh.FilesRequest) bool { return r.Placement == placement.Load() }
	there = c.start(beta, func(o *mesh.Options) {
		o.Volumes = late{volumes{alpha}, func(n int) {
			if int64(n) <= changes.Load() {
				if cut := there.CutFiles(past); cut != 0 {
					t.Errorf("cut %d that nothing is known of yet", cut)
				}
			}
		}, &asked}
	})
	here := c.start(alpha)
	changes.Store(2)
	conn, err := here.Files(t.Context(), beta, volume)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times about a connection that two changes came to", n)
	}
	if _, err := io.WriteString(conn, "read"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Error(err)
	}
	if n := there.CutFiles(past); n != 1 {
		t.Errorf("cut %d", n)
	}
	changes.Store(1 << 40)
	placement.Add(1)
	next := volume
	next.Placement++
	if _, err := here.Files(t.Context(), beta, next); problem.KindOf(err) != problem.Busy {
		t.Error("a change in every question:", err)
	}
}
