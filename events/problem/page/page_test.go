package page

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// The words that users search for, from the contract with them.
const titles = `401 Unauthorized
403 Forbidden
404 Unknown Site
502 Bad Gateway
502 Timeout/Segfault
502 Routing Failure
502 Upstream Header Too Big
503 Header Overflow
503 First Byte Timeout
503 Target in Maintenance
503 Database not Responding
503 Service Unavailable
504 Gateway Timeout
504 Target Not Responding
530 Site Frozen
550 Database Offline`

func TestTitlesAreTheContract(t *testing.T) {
	seen := map[string]int{}
	for _, p := range All() {
		seen[p.Title()]++
		if p.Text == "" || p.Status < 400 {
			t.Errorf("%s is incomplete", p.Title())
		}
	}
	for _, title := range strings.Split(titles, "\n") {
		if seen[title] != 1 {
			t.Errorf("%q is there %d times", title, seen[title])
		}
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Encoding", "gzip")
	TargetNotResponding.Write(w, `<id>`)
	body := w.Body.String()
	if w.Code != 504 || !strings.Contains(body, "<h2>504 Target Not Responding</h2>") || !strings.Contains(body, "<h1>Pantheon</h1>") {
		t.Fatalf("%d %s", w.Code, body)
	}
	if strings.Contains(body, "<id>") || !strings.Contains(body, "&lt;id&gt;") {
		t.Error("the id is not escaped")
	}
	if w.Header().Get("Content-Encoding") != "" || w.Header().Get("Cache-Control") == "" {
		t.Error(w.Header())
	}
}
