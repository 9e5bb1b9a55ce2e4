package yggdrasil_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
	"pantheon/gateways/yggdrasil/dnssec"
	"pantheon/gateways/yggdrasil/keyring"
)

const benchNames = 100_000

func benchName(i int) string { return fmt.Sprintf("host-%06d.example.org", i) }

// bigZone has many names, each with one address.
func bigZone(names int) *log {
	l := newLog()
	state := l.Zones().Edit()
	for begin := 0; begin < names; begin += 1000 {
		happened := []events.Event{}
		if begin == 0 {
			happened = append(happened, events.ZoneAdded{Zone: apex, Role: events.ZoneCustom},
				events.RecordsAdded{Zone: apex, Records: records("example.org. 3600 NS ns1.example.org.\nns1.example.org. 300 A 192.0.2.1")})
		}
		var list []events.ZoneRecord
		for i := begin; i < min(names, begin+1000); i++ {
			list = append(list, events.ZoneRecord{Name: benchName(i), TTL: 300, Type: "A", Data: fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)})
		}
		happened = append(happened, events.RecordsAdded{Zone: apex, Records: list})
		position := l.position.Add(1)
		state = state.Apply(events.Envelope{Commit: events.Commit{Stream: apex.Stream(), Events: happened}, Position: events.Position(position)})
	}
	l.state.Store(state.Seal())
	return l
}

// questions are packets, one in ten for a name that does not exist.
func questions(b *testing.B, count int, do bool) [][]byte {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	packets := make([][]byte, count)
	for i := range packets {
		name := benchName(random.IntN(benchNames))
		if i%10 == 9 {
			name = "x" + name
		}
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(name), dns.TypeA)
		m.SetEdns0(1232, do)
		packet, err := m.Pack()
		if err != nil {
			b.Fatal(err)
		}
		packets[i] = packet
	}
	return packets
}

// processorTime is what this process has used: it says more than the clock does
// where the machine has other work.
func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkRespond is the packet path without sockets, with answers that are
// remembered and with answers that are made from the zone.
func BenchmarkRespond(b *testing.B) {
	server, err := yggdrasil.New(yggdrasil.Options{Source: bigZone(benchNames)})
	if err != nil {
		b.Fatal(err)
	}
	packets := questions(b, benchNames, false)
	client, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	for _, c := range []struct {
		name string
		r    *yggdrasil.Responder
	}{{"remembered", server.NewResponder()}, {"made", server.NewForgetfulResponder()}} {
		b.Run(c.name, func(b *testing.B) {
			for _, packet := range packets {
				c.r.Respond(packet, client, false, now)
			}
			runtime.GC()
			b.ReportAllocs()
			used, i := processorTime(), 0
			for b.Loop() {
				c.r.Respond(packets[i%len(packets)], client, false, now.Add(time.Duration(i)*100*time.Microsecond))
				i++
			}
			b.ReportMetric(float64((processorTime()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
		b.Run(c.name+"-batch", func(b *testing.B) {
			const size = 32
			used, i := processorTime(), 0
			for b.Loop() {
				if i%size == 0 {
					at := i % (len(packets) / size * size)
					c.r.RespondAll(packets[at:at+size], client, now.Add(time.Duration(i)*100*time.Microsecond), func(int, []byte) {})
				}
				i++
			}
			b.ReportMetric(float64((processorTime()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkSigned is the packet path of a signed zone with names that were asked
// for before: an answer, a referral, and a name that does not exist.
func BenchmarkSigned(b *testing.B) {
	l := newLog()
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, Signer: withKeys(b, l), ResponsesPerSecond: -1})
	if err != nil {
		b.Fatal(err)
	}
	for _, question := range []string{"web.example.org A do", "deep.child.example.org A do", "nothing.example.org A do"} {
		b.Run(strings.Fields(question)[0], func(b *testing.B) {
			r, packet := server.NewResponder(), pack(b, parseQuestion(b, question))
			client, now := netip.MustParseAddr("192.0.2.1"), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				r.Respond(packet, client, false, now)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}

// BenchmarkUDP is a whole server with its clients in one process, over the
// loopback: client and server share the machine.
func BenchmarkUDP(b *testing.B) {
	g := startWith(b, bigZone(benchNames), nil)
	packets := questions(b, 10_000, false)
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(2)
	b.RunParallel(func(pb *testing.PB) {
		if err := load(g.address, packets, pb.Next); err != nil {
			b.Error(err)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}

// load keeps many questions on the way at once, in batches as the server does.
func load(address string, packets [][]byte, next func() bool) error {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	const window = 32
	pc := ipv4.NewPacketConn(conn.(*net.UDPConn))
	out, in := make([]ipv4.Message, window), make([]ipv4.Message, window)
	for i := range window {
		out[i].Buffers = [][]byte{nil}
		in[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	for at := rand.IntN(len(packets)); ; {
		n := 0
		for n < window && next() {
			out[n].Buffers[0] = packets[at%len(packets)]
			at++
			n++
		}
		if n == 0 {
			return nil
		}
		for sent := 0; sent < n; {
			k, err := pc.WriteBatch(out[sent:n], 0)
			if err != nil {
				return err
			}
			sent += k
		}
		for got := 0; got < n; {
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				return err
			}
			k, err := pc.ReadBatch(in[:n-got], 0)
			if err != nil {
				return err
			}
			for _, m := range in[:k] {
				if rcode := m.Buffers[0][3] & 15; rcode != 0 && rcode != 3 || binary.BigEndian.Uint16(m.Buffers[0][4:]) != 1 {
					return fmt.Errorf("answer with code %d", rcode)
				}
			}
			got += k
		}
	}
}

// serveEnvironment makes the test binary a server of the big zone, so that it
// can be kept on one processor; forgetEnvironment one that makes every answer
// from the zone, changeEnvironment one whose zone changes at that interval, and
// signedEnvironment one whose zone is signed with a key that is kept in that
// folder.
const (
	serveEnvironment  = "YGGDRASIL_BENCH_SERVE"
	forgetEnvironment = "YGGDRASIL_BENCH_FORGET"
	signedEnvironment = "YGGDRASIL_BENCH_SIGNED"
	changeEnvironment = "YGGDRASIL_BENCH_CHANGE"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(serveEnvironment); address != "" {
		if err := serveBench(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveBench(address string) error {
	l := bigZone(benchNames)
	options := yggdrasil.Options{Address: address, Source: l, Sockets: 1, ResponsesPerSecond: -1}
	if dir := os.Getenv(signedEnvironment); dir != "" {
		signer, err := signerIn(dir, l)
		if err != nil {
			return err
		}
		options.Signer = signer
	}
	if os.Getenv(forgetEnvironment) != "" {
		options = yggdrasil.Forgetful(options)
	}
	server, err := yggdrasil.New(options)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if text := os.Getenv(changeEnvironment); text != "" {
		every, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		go l.keepChanging(ctx, every)
	}
	return server.Run(ctx)
}

// signerIn gives the zone a key in a folder, and what signs with it.
func signerIn(dir string, l *log) (yggdrasil.Signer, error) {
	ring, err := keyring.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := addKey(l, ring, l.Zones().Named(apex).Apex()); err != nil {
		return nil, err
	}
	return dnssec.New(dnssec.Options{Keys: ring})
}

// keepChanging adds a name and takes it away again.
func (l *log) keepChanging(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	changing := records("changing.example.org. 60 A 192.0.2.2")
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if i%2 == 0 {
			l.commit(apex, events.RecordsAdded{Zone: apex, Records: changing})
		} else {
			l.commit(apex, events.RecordsRemoved{Zone: apex, Records: changing})
		}
	}
}
