package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// base is the folder of everything that these tests make. Others may enter it:
// one platform runs as nobody.
var base string

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if base, err = os.MkdirTemp("", "pantheon-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(base, "pantheon")
	build := exec.Command("go", "build", "-o", binary)
	if raceEnabled {
		build.Args = append(build.Args, "-race")
	}
	build.Args = append(build.Args, "pantheon/cmd/pantheon")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build pantheon: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := stopCommonCell(); err != nil {
		fmt.Fprintln(os.Stderr, "the cell that the tests share:", err)
		code = 1
	}
	if err := common.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the platform that the tests share:", err)
		return 1
	}
	return code
}

// common is the platform that tests share: MariaDB's first start costs
// seconds.
var common sharedPlatform

type sharedPlatform struct {
	once sync.Once
	p    *platform
	err  error
}

// shared gives the platform that tests share. Its data folder has a space in its
// path, and DROPs' sockets there have longer paths than a socket's address.
func shared(t *testing.T) *platform {
	t.Helper()
	requireSandbox(t)
	common.once.Do(func() {
		data := filepath.Join(base, "shared by tests", "data")
		common.p, common.err = start(options{data: data})
	})
	if common.err != nil {
		t.Fatal(common.err)
	}
	common.p.dumpOnFailure(t)
	return common.p
}

func (s *sharedPlatform) stop() error {
	if s.p == nil {
		return nil
	}
	return s.p.stop()
}
