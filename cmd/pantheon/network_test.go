package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// TestUpRefusesEarly: what is wrong with the options is said before a data
// folder is made.
func TestUpRefusesEarly(t *testing.T) {
	for line, texts := range map[string][]string{
		"--http nonsense":               {"cannot use the address \"nonsense\"", "hint: write host and port: --http 127.0.0.1:8080"},
		"--http 127.0.0.1:99999":        {"cannot use the address"},
		"--http 127.0.0.1:":             {"cannot use the address"},
		"--http http://127.0.0.1:8080":  {"cannot use the address"},
		"--api-listen nonsense":         {"cannot use the address", "--api-listen 127.0.0.1:8080"},
		"--memory 500":                  {"cannot offer 500 MiB of memory: one environment needs 512 MiB", "--memory 640"},
		"--memory -1":                   {"cannot offer -1 MiB of memory"},
		"--trusted-proxies 10.0.0.0/99": {"cannot use \"10.0.0.0/99\"", "hint: write networks"},
		"--domain .x":                   {"cannot use the domain"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		var said strings.Builder
		c := &cli{in: strings.NewReader(""), out: &said, errors: &said, getenv: func(string) string { return "" }}
		if code := c.run(t.Context(), append([]string{"up", "--data", data}, strings.Fields(line)...)); code != 64 {
			t.Errorf("up %s: exit code %d", line, code)
		}
		for _, text := range texts {
			if !strings.Contains(said.String(), text) {
				t.Errorf("up %s says no %q:\n%s", line, text, said.String())
			}
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("up %s leaves a data folder", line)
		}
	}
}

// TestPortInUse: a refused start once left a data folder.
func TestPortInUse(t *testing.T) {
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	options := platformOptions{socket: &keptSocket{}, data: filepath.Join(t.TempDir(), "data"), httpAddress: busy.Addr().String()}
	_, err = openPlatform(context.Background(), options)
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(problem.HintOf(err), "another program uses the port") {
		t.Errorf("%v, hint %q", err, problem.HintOf(err))
	}
	if _, err := os.Stat(options.data); err == nil {
		t.Error("a data folder is left")
	}
}

func TestListenFailures(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind problem.Kind
		hint string
	}{
		{unix.EADDRINUSE, problem.Unavailable, "another program"},
		{unix.EACCES, problem.Denied, "below 1024"},
		{unix.EADDRNOTAVAIL, problem.Invalid, "ip address"},
		{&net.DNSError{Err: "no such host"}, problem.Invalid, "host name"},
		{errors.New("else"), problem.Unavailable, "refuses"},
	} {
		kind, hint := listenFailure(&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", c.err)})
		if kind != c.kind || !strings.Contains(hint, c.hint) {
			t.Errorf("%v: %s, %q", c.err, kind, hint)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "[]",
		"10.1.2.3/8, 192.0.2.1":     "[10.0.0.0/8 192.0.2.1/32]",
		"2001:db8::/32,2001:db8::5": "[2001:db8::/32 2001:db8::5/128]",
		"proxy.example":             "",
		"10.0.0.0/33":               "",
		"::ffff:10.0.0.0/104":       "",
		"fe80::1%eth0":              "",
		"10.0.0.1;10.0.0.2":         "",
	} {
		got, err := parseProxies(text)
		if want == "" {
			if problem.KindOf(err) != problem.Invalid || problem.HintOf(err) == "" {
				t.Errorf("%q: %v, %v", text, got, err)
			}
			continue
		}
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}
