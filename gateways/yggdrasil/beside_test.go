package yggdrasil_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var perSecond = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)
var completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)
var lostShare = regexp.MustCompile(`Queries lost:\s+\d+ \(([0-9.]+)%\)`)

// contestant is a server that serves the same zone.
type contestant struct {
	name, binary string
	// command starts it on a port, with a folder of its own and the zone's file.
	command func(binary, dir, zoneText string, port int) (*exec.Cmd, error)
}

func contestants() []contestant {
	return []contestant{
		{"yggdrasil", os.Args[0], ourselves()},
		{"yggdrasil-changing", os.Args[0], ourselves(changeEnvironment + "=10ms")},
		{"yggdrasil-made", os.Args[0], ourselves(forgetEnvironment + "=1")},
		{"knot", "knotd", configured("-c", "server:\n  rundir: %[1]s\n  listen: 127.0.0.1@%[2]d\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"+
			"database:\n  storage: %[1]s\nzone:\n  - domain: example.org\n    file: %[3]s\n")},
		{"nsd", "nsd", configured("-d", "-c", "server:\n  ip-address: 127.0.0.1@%[2]d\n  server-count: 1\n  username: \"\"\n  zonesdir: \"\"\n  database: \"\"\n  pidfile: \"\"\n  rrl-ratelimit: 0\n"+
			"  xfrdfile: \"\"\n  zonelistfile: %[1]s/zones\nremote-control:\n  control-enable: no\nzone:\n  name: example.org\n  zonefile: %[3]s\n")},
		{"coredns", coreDNS(), configured("-conf", "example.org.:%[2]d {\n  bind 127.0.0.1\n  file %[3]s\n}\n")},
	}
}

// ourselves starts this test as a server: answers are remembered; or the zone
// changes while they are; or each is made from the zone.
func ourselves(environment ...string) func(binary, dir, zoneText string, port int) (*exec.Cmd, error) {
	return func(binary, _, _ string, port int) (*exec.Cmd, error) {
		command := exec.Command("taskset", "-c", "0", binary)
		command.Env = slices.Concat(os.Environ(), []string{fmt.Sprintf("%s=127.0.0.1:%d", serveEnvironment, port), "GOMAXPROCS=1"}, environment)
		return command, nil
	}
}

// coreDNS is where the task setup-bench builds it.
func coreDNS() string {
	if path, err := exec.LookPath("coredns"); err == nil {
		return path
	}
	path, _ := filepath.Abs("../../bin/coredns")
	return path
}

// configured starts a server with a file of settings, the last of its flags.
func configured(flags ...string) func(binary, dir, zoneText string, port int) (*exec.Cmd, error) {
	flags, text := flags[:len(flags)-1], flags[len(flags)-1]
	return func(binary, dir, zoneText string, port int) (*exec.Cmd, error) {
		config := filepath.Join(dir, "config")
		command := exec.Command("taskset", slices.Concat([]string{"-c", "0", binary}, flags, []string{config})...)
		command.Env = append(os.Environ(), "GOMAXPROCS=1")
		return command, os.WriteFile(config, fmt.Appendf(nil, text, dir, port, zoneText), 0o644)
	}
}

// BenchmarkBesideRivals measures the server and what others use, each on one
// processor with the same zone, with dnsperf on another one, in turns; and how
// long answers take at half of CoreDNS' rate. Processor time for each query says
// more than queries a second where the machine has other work. What is not
// installed is left out.
func BenchmarkBesideRivals(b *testing.B) {
	for _, tool := range []string{"dnsperf", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%s is not installed: go tool task setup-bench", tool)
		}
	}
	dir := b.TempDir()
	queries, zoneText := filepath.Join(dir, "queries"), filepath.Join(dir, "example.org.zone")
	writeBench(b, queries, zoneText)
	cost, rates, lates := make(map[string][]float64), make(map[string][]float64), make(map[string][]float64)
	for b.Loop() {
		for _, r := range contestants() {
			if _, err := exec.LookPath(r.binary); err != nil {
				b.Logf("%s is left out: go tool task setup-bench", r.name)
				continue
			}
			port := freePort(b)
			process, stop := startContestant(b, r, zoneText, port)
			dnsperf(b, queries, port, "-n", "1") // every question once
			before := processorSeconds(b, process)
			rate, lost, answered := dnsperf(b, queries, port, "-l", "4")
			cost[r.name] = append(cost[r.name], (processorSeconds(b, process)-before)*1e6/answered)
			rates[r.name] = append(rates[r.name], rate)
			lates[r.name] = append(lates[r.name], latency(b, port))
			stop()
			b.ReportMetric(lost, r.name+"-lost-%")
		}
	}
	own := median(cost["yggdrasil"])
	for name, list := range cost {
		b.ReportMetric(median(list), name+"-cpu-µs/query")
		b.ReportMetric(median(rates[name]), name+"-queries/s")
		b.ReportMetric(median(lates[name]), name+"-ms-p99")
		b.ReportMetric(median(list)/own, name+"-ratio")
	}
}

// BenchmarkSignedUDP is a server of a signed zone on one processor, asked over
// UDP by dnsperf on another one for hotNames names, signatures wanted: what it
// answers a second, and of how much processor time.
func BenchmarkSignedUDP(b *testing.B) {
	for _, tool := range []string{"dnsperf", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%s is not installed: go tool task setup-bench", tool)
		}
	}
	const hotNames = 1000
	var text strings.Builder
	for i := range hotNames {
		fmt.Fprintf(&text, "%s A\n", benchName(i*97%benchNames))
	}
	queries := filepath.Join(b.TempDir(), "queries")
	if err := os.WriteFile(queries, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	var rates, costs []float64
	for b.Loop() {
		keys := filepath.Join(b.TempDir(), "keys")
		if err := os.Mkdir(keys, 0o700); err != nil {
			b.Fatal(err)
		}
		port := freePort(b)
		process, stop := startContestant(b, contestant{"yggdrasil", os.Args[0], ourselves(signedEnvironment + "=" + keys)}, "", port)
		dnsperf(b, queries, port, "-D", "-n", "1")
		before := processorSeconds(b, process)
		rate, lost, answered := dnsperf(b, queries, port, "-D", "-l", "4")
		costs, rates = append(costs, (processorSeconds(b, process)-before)*1e6/answered), append(rates, rate)
		stop()
		b.ReportMetric(lost, "lost-%")
	}
	b.ReportMetric(median(rates), "answers/s")
	b.ReportMetric(median(costs), "cpu-µs/answer")
}

func median(list []float64) float64 {
	slices.Sort(list)
	if len(list) == 0 {
		return 0
	}
	return list[len(list)/2]
}

// halfLoad is half of what CoreDNS answers on one processor.
const halfLoad = 20_000

// latency gives the 99th percentile, in ms, of the time that an answer takes at
// halfLoad queries a second: a query leaves when its time has come, whether or
// not earlier ones were answered.
func latency(b *testing.B, port int) float64 {
	conn, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const count = 2 * halfLoad
	packets, sent := questions(b, 10_000, false), make([]time.Time, 1<<16)
	var late []float64
	done := make(chan struct{})
	go func() {
		defer close(done)
		var buffer [2048]byte
		for len(late) < count {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(buffer[:]); err != nil {
				return
			}
			late = append(late, time.Since(sent[int(buffer[0])<<8|int(buffer[1])]).Seconds()*1e3)
		}
	}()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	began, next := time.Now(), 0
	for next < count {
		now := <-ticker.C
		for due := min(count, int(now.Sub(began).Seconds()*halfLoad)); next < due; next++ {
			packet := packets[next%len(packets)]
			packet[0], packet[1] = byte(next>>8), byte(next)
			sent[next&0xffff] = time.Now()
			_, _ = conn.Write(packet)
		}
	}
	<-done
	slices.Sort(late)
	if len(late) < count*9/10 {
		b.Logf("%d answers to %d queries: the machine is too busy to say how late they are", len(late), count)
		return math.Inf(1)
	}
	return late[len(late)*99/100]
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

// startContestant runs a server on the first processor until it answers.
func startContestant(b *testing.B, r contestant, zoneText string, port int) (process int, stop func()) {
	command, err := r.command(r.binary, b.TempDir(), zoneText, port)
	if err != nil {
		b.Fatal(err)
	}
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	b.Cleanup(stop)
	address := fmt.Sprintf("127.0.0.1:%d", port)
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
			b.Fatalf("%s does not answer", r.name)
		}
	}
	return command.Process.Pid, stop
}

func dnsperf(b *testing.B, queries string, port int, length ...string) (rate, lost, answered float64) {
	arguments := []string{"-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", fmt.Sprint(port), "-d", queries, "-c", "8", "-q", "500", "-T", "1"}
	out, err := exec.Command("taskset", append(arguments, length...)...).CombinedOutput()
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

// processorSeconds is what a process and its children have used so far: a busy
// machine changes it less than the time on the wall.
func processorSeconds(b *testing.B, group int) (sum float64) {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range processes {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(after)
		if len(fields) < 13 || fields[2] != fmt.Sprint(group) {
			continue
		}
		var user, system float64
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		sum += (user + system) / 100 // USER_HZ, the same on every Linux
	}
	return sum
}
