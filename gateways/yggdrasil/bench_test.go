package yggdrasil_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
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

// BenchmarkRespond is the packet path without sockets.
func BenchmarkRespond(b *testing.B) {
	for _, c := range []struct {
		name  string
		rates int
	}{{"bare", -1}, {"rate_limited", 0}} {
		b.Run(c.name, func(b *testing.B) {
			server, err := yggdrasil.New(yggdrasil.Options{Source: bigZone(benchNames), ResponsesPerSecond: c.rates})
			if err != nil {
				b.Fatal(err)
			}
			r, packets := server.NewResponder(), questions(b, 10_000, false)
			client, now := netip.MustParseAddr("192.0.2.1"), time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Respond(packets[i%len(packets)], client, false, now)
				i++
			}
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
// can be kept on one processor.
const serveEnvironment = "YGGDRASIL_BENCH_SERVE"

func TestMain(m *testing.M) {
	if address := os.Getenv(serveEnvironment); address != "" {
		serveBench(address)
		return
	}
	os.Exit(m.Run())
}

func serveBench(address string) {
	server, err := yggdrasil.New(yggdrasil.Options{Address: address, Source: bigZone(benchNames), Sockets: 1, ResponsesPerSecond: -1})
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		err = server.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var perSecond = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)
var completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)
var lostShare = regexp.MustCompile(`Queries lost:\s+\d+ \(([0-9.]+)%\)`)

// BenchmarkBesideKnot measures the server and Knot, each on one processor with
// the same zone, with dnsperf on another one, in turns.
func BenchmarkBesideKnot(b *testing.B) {
	for _, tool := range []string{"dnsperf", "knotd", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%s is not installed: go tool task setup-bench", tool)
		}
	}
	dir := b.TempDir()
	queries, zoneText := filepath.Join(dir, "queries"), filepath.Join(dir, "example.org.zone")
	writeBench(b, queries, zoneText)
	for b.Loop() {
		for _, rival := range []string{"yggdrasil", "knot"} {
			port := freePort(b)
			process, stop := startRival(b, rival, dir, zoneText, port)
			before := processorSeconds(b, process)
			rate, lost, answered := dnsperf(b, queries, port)
			b.ReportMetric((processorSeconds(b, process)-before)*1e6/answered, rival+"-cpu-µs/query")
			stop()
			b.ReportMetric(rate, rival+"-queries/s")
			b.ReportMetric(lost, rival+"-lost-%")
		}
	}
}

func writeBench(b *testing.B, queries, zoneText string) {
	var q, z strings.Builder
	z.WriteString("$ORIGIN example.org.\n@ 3600 SOA ns1 hostmaster 1 900 300 1209600 60\n@ 3600 NS ns1\nns1 300 A 192.0.2.1\n")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range benchNames {
		fmt.Fprintf(&z, "%s. 300 A 10.%d.%d.%d\n", benchName(i), i>>16&255, i>>8&255, i&255)
		prefix := ""
		if i%10 == 9 {
			prefix = "x"
		}
		fmt.Fprintf(&q, "%s%s A\n", prefix, benchName(random.IntN(benchNames)))
	}
	for file, content := range map[string]string{queries: q.String(), zoneText: z.String()} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func freePort(b *testing.B) int {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// startRival runs a server on the first processor until it answers.
func startRival(b *testing.B, rival, dir, zoneText string, port int) (process int, stop func()) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	var command *exec.Cmd
	if rival == "yggdrasil" {
		command = exec.Command("taskset", "-c", "0", os.Args[0])
		command.Env = append(os.Environ(), serveEnvironment+"="+address, "GOMAXPROCS=1")
	} else {
		config := filepath.Join(dir, "knot.conf")
		text := fmt.Sprintf("server:\n  rundir: %[1]s\n  listen: 127.0.0.1@%[2]d\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"+
			"database:\n  storage: %[1]s\nzone:\n  - domain: example.org\n    file: %[3]s\n", dir, port, zoneText)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		command = exec.Command("taskset", "-c", "0", "knotd", "-c", config)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	client := &dns.Client{Timeout: time.Second}
	m := new(dns.Msg)
	m.SetQuestion("ns1.example.org.", dns.TypeA)
	for deadline := time.Now().Add(time.Minute); ; {
		// A port of the free range may be given to the client itself, which then
		// hears its own question.
		if answer, _, err := client.Exchange(m, address); err == nil && answer.Response && len(answer.Answer) == 1 {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s does not answer", rival)
		}
	}
	return command.Process.Pid, func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}
}

func dnsperf(b *testing.B, queries string, port int) (rate, lost, answered float64) {
	out, err := exec.Command("taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", fmt.Sprint(port), "-d", queries,
		"-l", "5", "-c", "8", "-q", "500", "-T", "1").CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	rates, losses := perSecond.FindSubmatch(out), lostShare.FindSubmatch(out)
	if rates == nil || losses == nil {
		b.Fatalf("dnsperf said\n%s", out)
	}
	fmt.Sscan(string(rates[1]), &rate)
	fmt.Sscan(string(losses[1]), &lost)
	fmt.Sscan(string(completed.FindSubmatch(out)[1]), &answered)
	return rate, lost, answered
}

// processorSeconds is what a process has used so far: a busy machine changes it
// less than the time on the wall.
func processorSeconds(b *testing.B, process int) float64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(after)
	var user, system float64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return (user + system) / 100 // USER_HZ, the same on every Linux
}
