package simulations

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestReportIsSelfContained: one page that names no other resource, with a
// plot of everything, and what went wrong.
func TestReportIsSelfContained(t *testing.T) {
	r := run(t, Options{Seed: 3, Hosts: 3, Sites: 10, Duration: time.Hour})
	r.Violation = &Violation{Rule: "capacity", Text: "<script>alert(1)</script>", At: "now", Trace: []string{"a line"}}
	var page strings.Builder
	if err := WriteReport(&page, r); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if n := strings.Count(text, "<svg"); n != 6 {
		t.Errorf("%d plots", n)
	}
	for _, foreign := range []string{"http://", "https://", "src=", "<script", "@import", "url("} {
		if strings.Contains(text, foreign) {
			t.Errorf("the page holds %s", foreign)
		}
	}
	svg := text[strings.Index(text, "<svg"):]
	svg = svg[:strings.Index(svg, "</svg>")+len("</svg>")]
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
}
