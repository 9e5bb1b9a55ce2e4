package styx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"pantheon/gateways/styx"
)

func TestAccessLog(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	g.agent.set(drop(1), says(201, "hello"))
	g.routes.set(site, serving(drop(1)))
	a := g.do("GET", "http://"+site+"/a?b=c", nil, "User-Agent", `evil" agent`+"\xff", "Referer", "http://example/", "X-Forwarded-For", "203.0.113.7")
	g.do("GET", "http://unknown.example/", nil)
	g.end() // writes out the log
	lines := strings.Split(strings.TrimSuffix(g.log.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), g.log)
	}
	want := `^203\.0\.113\.7 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=c HTTP/1\.1" 201 5 ` +
		`"http://example/" "evil\\x22 agent\\xff" \d+\.\d{3} ` + a.Header.Get("X-Styx-Req-Id") + ` "` + regexp.QuoteMeta(site) + `" ` +
		string(drop(1)) + ` 1 "203\.0\.113\.7, 127\.0\.0\.1"$`
	if !regexp.MustCompile(want).MatchString(lines[0]) {
		t.Errorf("line\n%s\nwant\n%s", lines[0], want)
	}
	if !strings.Contains(lines[1], `" 404 `) || !strings.Contains(lines[1], ` "unknown.example" - 0 "127.0.0.1"`) {
		t.Errorf("line %s", lines[1])
	}
}

func TestAccessLogAsJSON(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.AccessLogFormat = styx.JSON })
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(200, "hello"))
	agent := "a\"b\\c\td\xffé"
	g.get("User-Agent", agent)
	g.end()
	var line map[string]any
	if err := json.Unmarshal([]byte(g.log.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, g.log)
	}
	if line["user_agent"] != strings.ToValidUTF8(agent, "\ufffd") || line["status"] != 200.0 || line["chain"] != "127.0.0.1" || line["bytes"] != 5.0 {
		t.Errorf("%v", line)
	}
}

// blockedDisk writes nothing until it is told to.
type blockedDisk struct {
	release chan struct{}
	written bytes.Buffer
}

func (b *blockedDisk) Write(p []byte) (int, error) {
	<-b.release
	return b.written.Write(p)
}

// A disk that hangs costs lines of the log and no request.
func TestAccessLogOfASlowDisk(t *testing.T) {
	disk := &blockedDisk{release: make(chan struct{})}
	g := start(t, func(o *styx.Options) { o.AccessLog = disk })
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), says(200, "hello"))
	}
	client := g.client()
	n := 0
	for g.metric("access_log_dropped_total") == 0 {
		for range 200 {
			r, _ := http.NewRequest("GET", "http://"+site+"/"+strings.Repeat("x", styx.MaxLogFieldBytes), nil)
			r.Header.Set("User-Agent", strings.Repeat("x", styx.MaxLogFieldBytes))
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			n++
		}
	}
	close(disk.release)
	client.CloseIdleConnections()
	g.end()
	if lines := bytes.Count(disk.written.Bytes(), []byte("\n")); lines+int(g.metric("access_log_dropped_total")) != n {
		t.Errorf("%d lines written, %v dropped, of %d", lines, g.metric("access_log_dropped_total"), n)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAccessLogOfAFullDisk(t *testing.T) {
	g := start(t, func(o *styx.Options) { o.AccessLog = fullDisk{} })
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(200, "hello"))
	if a := g.get(); a.body != "hello" {
		t.Errorf("%d", a.StatusCode)
	}
}

// The figures' labels are the same few whatever visitors send.
func TestMetricsAreBounded(t *testing.T) {
	g := start(t)
	g.agent.set(drop(1), says(200, "hello"))
	g.agent.set(drop(2), says(999, "hello"))
	before := g.metric("requests_total")
	for _, host := range []string{site, "a.example", "b.example"} {
		g.do("GET", "http://"+host+"/", nil)
	}
	if got := g.metric("requests_total") - before; got != 3 {
		t.Errorf("%v requests counted, want 3", got)
	}
	if got := g.metric("request_duration_seconds"); got != 3 {
		t.Errorf("%v durations counted, want 3", got)
	}
	if got := g.metric("pages_total", "404 Unknown Site"); got != 2 {
		t.Errorf("%v pages counted, want 2", got)
	}
}
