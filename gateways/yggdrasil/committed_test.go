package yggdrasil_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream"
	"pantheon/gateways/yggdrasil"
	"pantheon/projections"
	"pantheon/projections/zone"
)

// viewed is a view as the server's source.
type viewed struct {
	*projections.View[*zone.State]
}

func (v viewed) Zones() *zone.State {
	state, _ := v.Load()
	return state
}

// committedNames of the zone that BenchmarkCommitted changes.
const committedNames = 20_000

// BenchmarkCommitted is the time from the return of Append, when a change of a
// record is in the log on disk, to its answer over UDP: of the address of one of
// many names.
func BenchmarkCommitted(b *testing.B) {
	disk, err := jetstream.Open(b.Context(), jetstream.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	commit := func(tip events.Tip, happened ...events.Event) events.Tip {
		one := eventlogtest.Commit(apex.Stream(), fmt.Sprint(tip.Revision))
		one.Events = happened
		return eventlogtest.Append(b, disk, tip, one)
	}
	tip := commit(events.Tip{}, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom})
	for begin := 0; begin < committedNames; begin += 500 {
		var list []events.ZoneRecord
		for i := begin; i < begin+500; i++ {
			list = append(list, events.ZoneRecord{Name: benchName(i), TTL: 300, Type: "A", Data: "192.0.2.1"})
		}
		tip = commit(tip, events.RecordsAdded{Zone: apex, Records: list})
	}
	runner := projections.NewRunner(projections.Options{Log: disk})
	view := projections.Add(runner, projections.Projection[*zone.State]{Name: zoneOptions.ViewName(), Version: zone.Version, Empty: zone.Empty(zoneOptions)})
	go func() { _ = runner.Run(b.Context()) }()
	if err := runner.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	address := serving(b, viewed{view})
	conn, err := net.Dial("udp4", address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	question := new(dns.Msg)
	question.SetQuestion(benchName(7)+".", dns.TypeA)
	packet := pack(b, question)
	var late []float64
	for i := uint32(0); b.Loop(); i++ {
		want := 10<<24 | i
		record := func(address uint32) []events.ZoneRecord {
			return []events.ZoneRecord{{Name: benchName(7), TTL: 300, Type: "A", Data: net.IP(binary.BigEndian.AppendUint32(nil, address)).String()}}
		}
		last := want - 1
		if i == 0 {
			last = 192<<24 | 2<<8 | 1
		}
		tip = commit(tip, events.RecordsRemoved{Zone: apex, Records: record(last)}, events.RecordsAdded{Zone: apex, Records: record(want)})
		began := time.Now()
		for answered := uint32(0); answered != want; answered = addressIn(b, conn, packet) {
		}
		late = append(late, time.Since(began).Seconds()*1e3)
	}
	slices.Sort(late)
	b.ReportMetric(late[len(late)/2], "ms-p50")
	b.ReportMetric(late[len(late)*99/100], "ms-p99")
}

// addressIn asks, and gives the address that ends the answer.
func addressIn(b *testing.B, conn net.Conn, packet []byte) uint32 {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Write(packet); err != nil {
		b.Fatal(err)
	}
	var buffer [512]byte
	n, err := conn.Read(buffer[:])
	if err != nil || n < 4 {
		b.Fatal(n, err)
	}
	return binary.BigEndian.Uint32(buffer[n-4:])
}

// serving runs a server of a source until the test ends.
func serving(b *testing.B, source yggdrasil.Source) (address string) {
	server, err := yggdrasil.New(yggdrasil.Options{Source: source, ResponsesPerSecond: -1})
	if err != nil {
		b.Fatal(err)
	}
	udp, tcp, err := yggdrasil.Listen(b.Context(), "127.0.0.1:0", 1)
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(b.Context(), udp, []net.Listener{tcp}) }()
	b.Cleanup(func() {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return tcp.Addr().String()
}
