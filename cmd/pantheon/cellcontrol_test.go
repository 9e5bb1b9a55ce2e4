package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/projections/zone"
)

const (
	neighbourID    events.HostID        = "00000000000000000000000000000002"
	ownDrop        events.DropID        = "0a000000000000000000000000000001"
	neighboursDrop events.DropID        = "0a000000000000000000000000000002"
	unplacedDrop   events.DropID        = "0a000000000000000000000000000003"
	neighboursBind events.BindingID     = "0b000000000000000000000000000002"
	someSite       events.SiteID        = "00000000-0000-4000-8000-000000000001"
	someEnv        events.EnvironmentID = "dev.00000000-0000-4000-8000-000000000001"
)

// controlled is a control machine that has the commands decided of another one,
// which has no control role, and was taken over.
type controlled struct {
	control *platform
	guest   *platform
	conn    *nats.Conn // the other one's, with all that it is let do
}

func startControlled(t *testing.T) *controlled {
	t.Helper()
	p, node := cellUnderTest(t, events.RoleHost, events.RoleEntry)
	runner := projections.NewRunner(projections.Options{Log: p.log, Logger: p.options.logger})
	p.inventory = projections.Add(runner, projections.Projection[inventory.State]{Name: "inventory", Version: inventory.Version})
	p.cell.inventory = p.inventory
	p.cell.shown.Store(p.inventory)
	if err := p.openCommander(p.log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = runner.Run(ctx) })
	all.Go(func() { _ = p.serveControl(ctx) })
	t.Cleanup(func() { cancel(); all.Wait(); _ = p.system.Close() })
	if err := runner.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := jetstream.Dial(t.Context(), jetstream.DialOptions{
		Addresses: []string{p.log.(*jetstream.Log).Address()}, TLS: node.Client(""), Name: string(hostileID), Guest: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	guest := &platform{host: hostIdentity{hostileID}, cell: &membership{node: node, inventory: p.inventory}, inventory: p.inventory, log: client}
	if err := guest.openCommander(nil); err != nil {
		t.Fatal(err)
	}
	c := &controlled{p, guest, client.Conn()}
	c.furnish(t)
	return c
}

// furnish makes machines, and DROPs on them.
func (c *controlled) furnish(t *testing.T) {
	t.Helper()
	decided := func(to events.StreamID, command any) {
		t.Helper()
		meta := events.Meta{Command: events.CommandID(randomID()), Principal: "policy/test", Gateway: "policy", Time: time.Now()}
		receipt, err := c.control.system.Do(t.Context(), meta, to, command)
		if err == nil {
			err = c.control.inventory.Wait(t.Context(), receipt.Tip.Position)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, name := range map[events.HostID]string{victimID: "control-1", neighbourID: "web-2"} {
		decided(id.Stream(), host.Register{Host: id, Name: name, MemoryMiB: 4096, Cores: 2, Version: "v"})
	}
	decided(victimID.Stream(), host.ReportReturned{})
	decided(victimID.Stream(), host.TakeRoles{Roles: everyRole()})
	for id, on := range map[events.DropID]events.HostID{ownDrop: hostileID, neighboursDrop: neighbourID, unplacedDrop: ""} {
		decided(id.Stream(), drop.Request{Drop: id, Environment: someEnv, MemoryMiB: 64})
		if on != "" {
			decided(id.Stream(), drop.Place{Host: on})
		}
	}
	decided(neighboursBind.Stream(), binding.Request{Binding: neighboursBind, Spec: events.BindingSpec{Kind: events.CodeServer, Site: someSite}})
	decided(neighboursBind.Stream(), binding.Place{Host: neighbourID})
}

func (c *controlled) head(t *testing.T) events.Position {
	t.Helper()
	head, err := c.control.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// startMeta and factMeta are those of an honest machine.
func startMeta() events.Meta {
	return events.Meta{Command: events.CommandID("start:" + randomID()), Principal: hostileID.Stream().String(), Gateway: zone.StartGateway}
}

func factMeta() events.Meta {
	return events.Meta{Command: events.CommandID("agent:" + string(hostileID) + ":" + randomID()), Principal: hostileID.Stream().String(), Gateway: "agent", Cause: 1}
}

func readyOn(drop events.DropID, host events.HostID) events.DropReady {
	return events.DropReady{Drop: drop, Host: host, Generation: 1}
}

var honestStart = host.Register{Host: hostileID, Name: "web-1", MemoryMiB: 4096, Cores: 2, Version: "v"}

// TestCommandsOfAMachine: what a start and an agent say is decided by the control
// machine, once, and is in the log as theirs.
func TestCommandsOfAMachine(t *testing.T) {
	c := startControlled(t)
	begun := time.Now()
	for _, one := range []actors.Request{
		{Meta: startMeta(), To: hostileID.Stream(), Command: honestStart},
		{Meta: startMeta(), To: hostileID.Stream(), Command: host.ReportAddresses{Addresses: []string{"10.0.0.9"}}},
		{Meta: startMeta(), To: hostileID.Stream(), Command: host.TakeRoles{Roles: []events.HostRole{events.RoleHost, events.RoleEntry}}},
		{Meta: startMeta(), To: hostileID.Stream(), Command: host.ReportEndpoint{Endpoint: "10.0.0.9:7600"}},
		{Meta: startMeta(), To: hostileID.Stream(), Command: host.ReportSoftware{Protocol: cellProtocol, PHP: []string{"8.2"}}},
		{Meta: factMeta(), To: ownDrop.Stream(), Command: drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}},
		{Meta: factMeta(), To: ownDrop.Stream(), Command: drop.Report{Host: hostileID, Fact: events.DropAwoke{Drop: ownDrop, Host: hostileID, Trigger: "http"}}},
	} {
		head := c.head(t)
		receipt, err := c.guest.commander.Do(t.Context(), one.Meta, one.To, one.Command)
		if err != nil || receipt.Tip.Position != head+1 || len(receipt.Events) != 1 {
			t.Fatalf("%T: %+v, %v", one.Command, receipt, err)
		}
		again, err := c.guest.commander.Do(t.Context(), one.Meta, one.To, one.Command)
		if err != nil || !again.Repeated || again.Tip != receipt.Tip || c.head(t) != head+1 {
			t.Errorf("%T again: %+v, %v", one.Command, again, err)
		}
		for envelope, err := range c.control.log.Stream(t.Context(), one.To, receipt.Tip.Revision-1) {
			if err != nil {
				t.Fatal(err)
			}
			meta := envelope.Meta
			if meta.Command != one.Meta.Command || meta.Principal != one.Meta.Principal || meta.Gateway != one.Meta.Gateway || meta.Cause != one.Meta.Cause || meta.Time.Before(begun) {
				t.Errorf("%T: the log says %+v", one.Command, meta)
			}
		}
	}
	// Refusals are the actor's own.
	_, err := c.guest.commander.Do(t.Context(), factMeta(), neighboursBind.Stream(),
		binding.Report{Host: hostileID, Fact: events.BindingRetired{Binding: neighboursBind, Host: hostileID}})
	if err != nil {
		t.Errorf("the end of what it should not have had: %v", err)
	}
	_, err = c.guest.commander.Do(t.Context(), startMeta(), hostileID.Stream(), host.ReportAddresses{Addresses: []string{"here"}})
	if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "for an address of host web-1") {
		t.Errorf("a wrong address: %v", err)
	}
}

// TestHostileCommands: whatever else a machine has to say is refused with the
// reason, and nothing of it is in the log.
func TestHostileCommands(t *testing.T) {
	c := startControlled(t)
	if _, err := c.guest.commander.Do(t.Context(), startMeta(), hostileID.Stream(), honestStart); err != nil {
		t.Fatal(err)
	}
	head := c.head(t)
	meta := func(of events.Meta, change func(*events.Meta)) events.Meta { change(&of); return of }
	named := honestStart
	named.Name = "control-1"
	for _, one := range []struct {
		what    string
		meta    events.Meta
		to      events.StreamID
		command any
		kind    problem.Kind
		says    string
	}{
		{"another host's DROP", factMeta(), neighboursDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(neighboursDrop, hostileID)}, problem.Denied, "does not hold it"},
		{"another host's DROP as that host", factMeta(), neighboursDrop.Stream(), drop.Report{Host: neighbourID, Fact: readyOn(neighboursDrop, neighbourID)}, problem.Denied, "what machine"},
		{"a DROP that is nowhere", factMeta(), unplacedDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(unplacedDrop, hostileID)}, problem.Denied, "does not hold it"},
		{"another one's fact to its own DROP", factMeta(), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(neighboursDrop, neighbourID)}, problem.Invalid, "it was sent to DROP"},
		{"another host's binding", factMeta(), neighboursBind.Stream(), binding.Report{Host: hostileID, Fact: events.BindingProvisioned{Binding: neighboursBind, Host: hostileID}}, problem.Denied, "does not hold it"},
		{"the end of another host's binding", factMeta(), neighboursBind.Stream(), binding.Report{Host: neighbourID, Fact: events.BindingRetired{Binding: neighboursBind, Host: neighbourID}}, problem.Denied, "what machine"},
		{"as another machine", meta(factMeta(), func(m *events.Meta) { m.Principal = neighbourID.Stream().String() }), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}, problem.Denied, "speaks as"},
		{"as a policy", meta(factMeta(), func(m *events.Meta) { m.Principal = "policy/lease" }), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}, problem.Denied, "speaks as"},
		{"by another gateway", meta(factMeta(), func(m *events.Meta) { m.Gateway = "policy" }), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}, problem.Denied, "as its gateway"},
		{"with an intent's id", meta(factMeta(), func(m *events.Meta) { m.Command = "displace:1" }), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}, problem.Denied, "does not begin with"},
		{"because of what is not", meta(factMeta(), func(m *events.Meta) { m.Cause = 1 << 40 }), ownDrop.Stream(), drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}, problem.Denied, "does not reach there"},
		{"another host", startMeta(), neighbourID.Stream(), host.Register{Host: neighbourID, Name: "mine", MemoryMiB: 1, Cores: 1, Version: "v"}, problem.Denied, "of itself alone"},
		{"a protocol that nobody else speaks", startMeta(), hostileID.Stream(), host.ReportSoftware{Protocol: cellProtocol + 2}, problem.Denied, "speaks protocol"},
		{"another host's software", startMeta(), neighbourID.Stream(), host.ReportSoftware{Protocol: cellProtocol}, problem.Denied, "of itself alone"},
		{"another host's endpoint", startMeta(), neighbourID.Stream(), host.ReportEndpoint{Endpoint: "10.0.0.9:7600"}, problem.Denied, "of itself alone"},
		{"another host's roles", startMeta(), victimID.Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleHost, events.RoleEntry}}, problem.Denied, "of itself alone"},
		{"control", startMeta(), hostileID.Stream(), host.TakeRoles{Roles: everyRole()}, problem.Denied, "its certificate gives it entry-host"},
		{"fewer roles", startMeta(), hostileID.Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleHost}}, problem.Denied, "its certificate gives it entry-host"},
		{"a name that is taken", startMeta(), hostileID.Stream(), named, problem.Conflict, "another machine of the cell has this name"},
	} {
		_, err := c.guest.commander.Do(t.Context(), one.meta, one.to, one.command)
		if problem.KindOf(err) != one.kind || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v", one.what, err)
		}
	}
	c.sayHostileWords(t)
	if now := c.head(t); now != head {
		t.Errorf("the log ends at %d, and ended at %d", now, head)
	}
}

// sayHostileWords sends what no machine of ours would, by hand.
func (c *controlled) sayHostileWords(t *testing.T) {
	t.Helper()
	roles := []events.HostRole{events.RoleHost, events.RoleEntry}
	subject := asker{hostileID, roles}.subject(string(victimID))
	good, err := actors.EncodeRequest(actors.Request{Meta: factMeta(), To: ownDrop.Stream(), Command: drop.Report{Host: hostileID, Fact: readyOn(ownDrop, hostileID)}})
	if err != nil {
		t.Fatal(err)
	}
	var removal map[string]any
	if err := json.Unmarshal(good, &removal); err != nil {
		t.Fatal(err)
	}
	removal["command"], removal["to"], removal["body"] = "host.Remove", neighbourID.Stream().String(), map[string]any{}
	remove, err := json.Marshal(removal)
	if err != nil {
		t.Fatal(err)
	}
	copied := nats.Header{"Nats-Stream": {"OBJ_" + releasesBucket}}
	for _, one := range []struct {
		what   string
		header nats.Header
		data   []byte
		kind   problem.Kind
	}{
		{"nothing", nil, nil, problem.Invalid},
		{"garbage", nil, []byte("{]"), problem.Invalid},
		{"a command of control machines", nil, remove, problem.Denied},
		{"too much", nil, make([]byte, actors.MaxRequestBytes+1), problem.Invalid},
		{"a copy of a stored message", copied, good, problem.Denied},
	} {
		answer, err := c.conn.RequestMsg(&nats.Msg{Subject: subject, Header: one.header, Data: one.data}, time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", one.what, err)
		}
		if _, err := actors.DecodeAnswer(ownDrop.Stream(), answer.Data); problem.KindOf(err) != one.kind {
			t.Errorf("%s: %v", one.what, err)
		}
	}
}

// TestHostileReplies: whoever asks a server chooses where the answer goes. Nothing
// gets there that the machine could not send there itself.
func TestHostileReplies(t *testing.T) {
	c := startControlled(t)
	head := c.head(t)
	leases, err := c.control.log.Bucket(t.Context(), natsjs.KeyValueConfig{Bucket: leaseBucketName, Storage: natsjs.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.PutString(t.Context(), string(victimID), "the victim's"); err != nil {
		t.Fatal(err)
	}
	roles := []events.HostRole{events.RoleHost, events.RoleEntry}
	other := asker{neighbourID, roles}.subject(string(victimID))
	targets := []string{
		"events.host." + string(neighbourID), "$KV." + leaseBucketName + "." + string(victimID), "$KV." + secretsBucket + ".it", other,
		answerSubject + string(neighbourID) + ".1", vitalsSubject + string(neighbourID), askRestart.subject(victimID), "anything",
	}
	heard := make(chan string, 1024)
	for _, target := range targets[3:] {
		if _, err := c.control.log.Conn().Subscribe(target, func(message *nats.Msg) { heard <- message.Subject }); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.control.log.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	own := rightsOf(hostileID, roles)
	subjects := []string{
		asker{hostileID, roles}.subject(string(victimID)), askFetch.from(hostileID, string(victimID)), "$KV." + leaseBucketName + "." + string(hostileID),
		"$O." + releasesBucket + ".C.x", "$JS.API.DIRECT.GET.events",
	}
	for _, subject := range append(own.Ask, own.AskMany...) {
		if !strings.ContainsAny(subject, "*>") {
			subjects = append(subjects, subject)
		}
	}
	for _, target := range targets {
		for _, subject := range subjects {
			if err := c.conn.PublishRequest(subject, target, []byte(`{"seq":1}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range subjects { // whose answers come behind those
		_, _ = c.conn.Request(subject, []byte(`{"seq":1}`), time.Second/10)
	}
	if err := c.control.log.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case subject := <-heard:
		t.Errorf("something came to %s", subject)
	default:
	}
	if now := c.head(t); now != head {
		t.Errorf("the log ends at %d, and ended at %d", now, head)
	}
	for _, bucket := range []struct{ name, key, value string }{{leaseBucketName, string(victimID), "the victim's"}, {secretsBucket, "it", "is one"}} {
		kv, err := c.control.log.Bucket(t.Context(), natsjs.KeyValueConfig{Bucket: bucket.name, Storage: natsjs.MemoryStorage})
		if err != nil {
			t.Fatal(err)
		}
		if entry, err := kv.Get(t.Context(), bucket.key); err != nil || string(entry.Value()) != bucket.value {
			t.Errorf("%s holds %v, %v", bucket.name, entry, err)
		}
	}
}
