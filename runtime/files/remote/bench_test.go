package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The same in a local folder, in one mounted here over a Unix socket, and in
// one of sshfs over a Unix socket to OpenSSH's sftp-server: no encryption in any.
// The order of the work is the same too. BenchmarkOverTheMesh is with TLS.

func benchmarkEverywhere(b *testing.B, run func(b *testing.B, dir string)) {
	b.Run("local", func(b *testing.B) { run(b, openDir(b)) })
	b.Run("mounted", func(b *testing.B) {
		_, path := newBench(b).mount()
		run(b, path)
	})
	b.Run("sshfs", func(b *testing.B) { run(b, sshfs(b)) })
}

func sshfs(b *testing.B) string {
	const server = "/usr/lib/openssh/sftp-server"
	program, err := exec.LookPath("sshfs")
	if _, serverErr := os.Stat(server); err != nil || serverErr != nil || os.Geteuid() != 0 {
		b.Skip("needs root, sshfs and sftp-server: apt-get install -y sshfs openssh-sftp-server")
	}
	near, far := pair(b)
	one, other := must(near.(*net.UnixConn).File()), must(far.(*net.UnixConn).File())
	source, path := openDir(b), openDir(b)
	serving := exec.Command(server)
	serving.Stdin, serving.Stdout = one, one
	mounting := exec.Command(program, ":"+source, path, "-f", "-o", "passive,allow_other,default_permissions,dcache_timeout=1")
	mounting.Stdin, mounting.Stdout = other, other
	if err := errors.Join(serving.Start(), mounting.Start()); err != nil {
		b.Fatal(err)
	}
	for _, end := range []interface{ Close() error }{near, far, one, other} {
		_ = end.Close()
	}
	b.Cleanup(func() {
		_ = end(path)
		_ = serving.Process.Kill()
		_ = errors.Join(mounting.Wait(), serving.Wait())
	})
	var before, now unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &before); err != nil {
		b.Fatal(err)
	}
	until(b, func() bool { return unix.Stat(path, &now) == nil && now.Dev != before.Dev })
	return path
}

// BenchmarkStat of files that nobody has asked for before.
func BenchmarkStat(b *testing.B) {
	benchmarkEverywhere(b, func(b *testing.B, dir string) {
		names := make([]string, b.N)
		for i := range names {
			if i%1000 == 0 {
				if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i/1000)), 0o755); err != nil {
					b.Fatal(err)
				}
			}
			names[i] = filepath.Join(dir, fmt.Sprint("d", i/1000), fmt.Sprint(i))
		}
		b.ResetTimer()
		for _, name := range names {
			if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stat/s")
	})
}

// BenchmarkStatAgain within cacheTime.
func BenchmarkStatAgain(b *testing.B) {
	benchmarkEverywhere(b, func(b *testing.B, dir string) {
		name := filepath.Join(dir, "f")
		write(b, name, "")
		b.ResetTimer()
		for range b.N {
			if _, err := os.Lstat(name); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stat/s")
	})
}

const mebibyte = 1 << 20

// BenchmarkWrite of a new file of 1 MiB, closed and not synced.
func BenchmarkWrite(b *testing.B) {
	benchmarkEverywhere(b, func(b *testing.B, dir string) {
		content := make([]byte, mebibyte)
		b.SetBytes(mebibyte)
		for i := range b.N {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i%16)), content, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRead of a file of 1 MiB that this machine has no copy of.
func BenchmarkRead(b *testing.B) {
	benchmarkEverywhere(b, func(b *testing.B, dir string) {
		name := filepath.Join(dir, "f")
		write(b, name, string(make([]byte, mebibyte)))
		content := make([]byte, mebibyte)
		b.SetBytes(mebibyte)
		b.ResetTimer()
		for range b.N {
			f, err := os.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			if n, err := f.Read(content); n != mebibyte {
				b.Fatal(n, err)
			}
			f.Close()
		}
	})
}

// BenchmarkReadAgain of a file of 1 MiB that has not changed.
func BenchmarkReadAgain(b *testing.B) {
	benchmarkEverywhere(b, func(b *testing.B, dir string) {
		name := filepath.Join(dir, "f")
		write(b, name, string(make([]byte, mebibyte)))
		b.SetBytes(mebibyte)
		for range b.N {
			if _, err := os.ReadFile(name); err != nil {
				b.Fatal(err)
			}
		}
	})
}
