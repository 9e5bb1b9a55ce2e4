package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestMetrics: Prometheus finds what the router, the API, the log and the
// machine count, and no name of a site.
func TestMetrics(t *testing.T) {
	requireSandbox(t)
	p := startFor(t, options{args: []string{"--metrics", "127.0.0.1:0"}})
	v := p.site(t, "counted", "php", map[string]string{"index.php": "<?php echo 'x';"})
	for range 3 {
		if answer := v.get(t, "/"); answer.status != http.StatusOK {
			t.Fatalf("the site answers %d", answer.status)
		}
	}
	address := regexp.MustCompile(`(?m)^  metrics (http://\S+)$`).FindStringSubmatch(p.log())
	if address == nil {
		t.Fatal("the platform does not say where its metrics are")
	}
	response, err := http.Get(address[1])
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, line := range []string{"pantheon_drops 1\n", "pantheon_drops_awake 1\n", "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q", line)
		}
	}
	if !regexp.MustCompile(`(?m)^\w*styx\w*requests\w*\{[^}]*\} [3-9]`).MatchString(text) {
		t.Error("the router has not counted the requests")
	}
	if strings.Contains(text, "counted") {
		t.Error("a label names a site: the number of series has no bound")
	}
}
