package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// diskBytes is the size of the small disk: MariaDB's empty folder takes 130 MB
// of it.
const diskBytes = "400m"

// smallDisk mounts one for a data folder.
func smallDisk(t testing.TB) string {
	t.Helper()
	disk := filepath.Dir(dataFolder(t))
	if err := unix.Mount("disk", disk, "tmpfs", 0, "mode=755,size="+diskBytes); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Errorf("the disk is still in use: %v", err)
			_ = unix.Unmount(disk, unix.MNT_DETACH)
		}
	})
	return disk
}

// fill writes until there is no space left.
func fill(t testing.TB, disk string) (empty func()) {
	t.Helper()
	name := filepath.Join(disk, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for block := make([]byte, 64<<10); ; {
		if _, err = file.Write(block); err != nil && len(block) > 1 {
			block = block[:len(block)/2]
		} else if err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull: with a full disk commands are refused with the reason, what was
// acknowledged stays, running sites are served, and with space it goes on.
func TestDiskFull(t *testing.T) {
	requireSandbox(t)
	disk := smallDisk(t)
	p := startFor(t, options{data: filepath.Join(disk, "data")})
	v := p.site(t, "served", "php", map[string]string{"index.php": helloPage, "file.txt": "static"})
	v.sees(t, 200, "/", "hello")
	head := len(p.commits(t))
	empty := fill(t, disk)
	checkFullDisk(t, p, v)
	if now := len(p.commits(t)); now < head {
		t.Errorf("the log had %d commits and has %d", head, now)
	}
	empty()
	eventually(t, "with space commands work again", func() bool {
		return p.run("site", "create", "after", "--upstream", "served").code == 0
	})
	p.visitor("after").sees(t, 200, "/", "hello")
	// Nothing that was acknowledged is lost, also not by a restart.
	if err := p.end(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.ok(t, "audit", "verify")
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"served", "after"} {
		p.visitor(site).sees(t, 200, "/", "hello")
	}
	p.refused(t, 66, nil, "site", "info", "refused")
}

func checkFullDisk(t *testing.T, p *platform, v *visitor) {
	t.Helper()
	for _, args := range [][]string{
		{"site", "create", "refused", "--upstream", "served"}, {"env", "set", "served.dev", "--workers", "2"}, {"upstream", "add", "refused", "/usr/share/wordpress"},
	} {
		began := time.Now()
		r := p.run(args...)
		if r.code == 0 {
			// What still fits in a block that the disk had given before is no lie.
			t.Logf("%v was taken with a full disk", args)
			continue
		}
		checkRefusal(t, strings.Join(args, " "), r, 69, []string{"is full"})
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the refusal of %v took %s", args, took)
		}
	}
	for range 20 {
		v.sees(t, 200, "/", "hello")
		v.sees(t, 200, "/file.txt", "static")
	}
	for _, args := range [][]string{{"site", "list"}, {"events", "tail"}, {"drop", "list"}, {"env", "info", "served.dev"}} {
		p.ok(t, args...)
	}
}

// TestReadOnlyDataFolder: a data folder that cannot be written is refused at
// the start, with the reason; nothing in it is touched.
func TestReadOnlyDataFolder(t *testing.T) {
	requireSandbox(t)
	disk := smallDisk(t)
	p := startFor(t, options{data: filepath.Join(disk, "data")})
	p.site(t, "kept", "php", map[string]string{"index.php": helloPage})
	if err := p.end(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	readOnly := func(flags uintptr) {
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, "size="+diskBytes); err != nil {
			t.Fatal(err)
		}
	}
	readOnly(unix.MS_RDONLY)
	p.refused(t, 69, []string{"read-only file system", "hint: "}, "up", "--http", "127.0.0.1:0")
	fresh := &platform{options: options{data: filepath.Join(disk, "fresh")}}
	fresh.refused(t, 69, []string{"read-only file system", "hint: "}, "up", "--http", "127.0.0.1:0")
	p.ok(t, "audit", "verify")
	readOnly(0)
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	p.visitor("kept").sees(t, 200, "/", "hello")
}
