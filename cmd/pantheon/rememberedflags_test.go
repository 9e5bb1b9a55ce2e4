package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

func TestAMachineGoesOnAsItWas(t *testing.T) {
	data := t.TempDir()
	start := func(environment map[string]string, said ...string) upFlags {
		t.Helper()
		c := &cli{data: data, getenv: func(name string) string { return environment[name] }}
		var given upFlags
		cmd := &cobra.Command{}
		c.upFlags(cmd, &given)
		if err := cmd.ParseFlags(said); err != nil {
			t.Fatal(err)
		}
		if err := c.recallFlags(cmd); err != nil {
			t.Fatal(err)
		}
		if err := c.rememberFlags(cmd); err != nil {
			t.Fatal(err)
		}
		return given
	}
	start(nil, "--zone", "a") // on a platform that is alone
	if flags, err := rememberedFlags(filepath.Join(data, "cell")); err != nil || len(flags) > 0 {
		t.Fatalf("a platform that is alone keeps %v, %v", flags, err)
	}
	if err := os.MkdirAll(filepath.Join(data, "cell"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (cellSettings{}).save(filepath.Join(data, "cell")); err != nil {
		t.Fatal(err)
	}
	start(nil, "--zone", "a", "--host-name", "web-4", "--memory", "8192", "--http", "192.0.2.1:80", "--log-level", "debug")
	if now := start(nil).options; now.zone != "a" || now.hostName != "web-4" || now.memoryMiB != 8192 || now.httpAddress != "192.0.2.1:80" {
		t.Errorf("it starts as %+v", now)
	}
	start(nil, "--zone", "b")
	now := start(map[string]string{"PANTHEON_HTTP": "192.0.2.2:80"}).options
	if now.zone != "b" || now.httpAddress != "192.0.2.2:80" {
		t.Errorf("what was said anew: %+v", now)
	}
	want := map[string]string{"zone": "b", "host-name": "web-4", "memory": "8192", "http": "192.0.2.1:80"}
	if kept, err := rememberedFlags(filepath.Join(data, "cell")); err != nil || !maps.Equal(kept, want) {
		t.Errorf("it keeps %v, %v", kept, err)
	}
}
