package drop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
)

// BenchmarkWake measures from the call of Wake to the body of a tiny script,
// beside a bare php-fpm with the same php.ini, started by os/exec on a socket
// of its own, from the start to the same body. Both run alternately.
//
// Measured on 2 cores that others used as well (load 3), p50 and p99, and the
// ratio of ours to bare at p50:
//
//	drupal     29 ms   49 ms  1.05
//	wordpress  28 ms   35 ms  1.04
//	php        35 ms   71 ms  1.02
func BenchmarkWake(b *testing.B) {
	m := newMachine(b, false)
	for _, f := range []events.Framework{events.Drupal, events.WordPress, events.PHP} {
		b.Run(string(f), func(b *testing.B) {
			x := newFixture(b, m, f).prepare()
			bare := newBareFPM(b, x)
			var ours, theirs, woken []time.Duration
			for b.Loop() {
				begin := time.Now()
				done := x.wake()
				woken = append(woken, time.Since(begin))
				if body, err := x.get(context.Background(), "index.php"); err != nil || body != "hello" {
					b.Fatal(body, err)
				}
				ours = append(ours, time.Since(begin))
				done()
				if err := x.runner.Sleep(context.Background(), "operator"); err != nil {
					b.Fatal(err)
				}
				theirs = append(theirs, bare.wake(b))
			}
			p50, p99, bare50 := quantile(ours, 50), quantile(ours, 99), quantile(theirs, 50)
			fmt.Fprintf(os.Stderr, "%s: wake to body p50 %v p99 %v (Wake alone p50 %v); bare php-fpm p50 %v p99 %v; ratio %.2f\n",
				f, p50, p99, quantile(woken, 50), bare50, quantile(theirs, 99), float64(p50)/float64(bare50))
			b.ReportMetric(float64(p50.Microseconds())/1000, "ms/p50")
			b.ReportMetric(float64(p99.Microseconds())/1000, "ms/p99")
			b.ReportMetric(float64(p50)/float64(bare50), "x-bare")
		})
	}
}

func quantile(ds []time.Duration, percent int) time.Duration {
	sorted := slices.Clone(ds)
	slices.Sort(sorted)
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)].Round(10 * time.Microsecond)
}

// bareFPM is php-fpm without us: the rival.
type bareFPM struct {
	x                *fixture
	program          string
	dir, ini, config string
}

func newBareFPM(b *testing.B, x *fixture) *bareFPM {
	b.Helper()
	dir := b.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	php, err := FindPHP("8.2")
	if err != nil {
		b.Fatal(err)
	}
	paths := Paths{Drop: x.runner.paths.Drop, Dir: dir, Places: x.places}
	secrets, _ := x.host.Secrets("", x.spec)
	c, err := Configure(x.spec, paths, secrets, php, false)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range c.Folders {
		if err := makeFolder(f, int(x.spec.UID)); err != nil {
			b.Fatal(err)
		}
	}
	if err := writeBare(c.Files); err != nil {
		b.Fatal(err)
	}
	return &bareFPM{x: x, program: c.Program, dir: dir, ini: c.Args[2], config: c.Args[4]}
}

// wake starts php-fpm, asks once, and kills it.
func (f *bareFPM) wake(b *testing.B) time.Duration {
	socket := filepath.Join(f.dir, "s")
	os.Remove(socket)
	begin := time.Now()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		b.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	file, err := listener.File()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(f.program, "--nodaemonize", "-c", f.ini, "--fpm-config", f.config)
	cmd.Env = []string{"FPM_SOCKETS=" + listenName + "=3", "PHP_INI_SCAN_DIR=", "TMPDIR=/tmp"}
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: f.x.spec.UID, Gid: f.x.spec.UID}}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	file.Close()
	listener.Close()
	conn, err := Dial(context.Background(), socket)
	if err != nil {
		b.Fatal(err)
	}
	body, err := requestOn(conn, filepath.Join(f.x.places.Code, "index.php"), "index.php")
	took := time.Since(begin)
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	if err != nil || body != "hello" {
		b.Fatal(body, err)
	}
	return took
}
