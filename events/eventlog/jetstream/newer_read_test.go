package jetstream

import (
	"strings"
	"testing"

	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// A commit that a newer version wrote while this one reads along is no damage: who
// meets it is told which version it needs.
func TestCommitOfANewerVersionIsRead(t *testing.T) {
	dir, before := standalone(t, 1)
	c := grown(t, dir)
	log, stream := c.dial(), eventlogtest.Stream(7)
	wire := []byte(`{"format":2,"later":true}` + "\n" + `SiteLevitated 1 {}` + "\n")
	if err := c.members[1].Conn().Publish(subject(stream), wire); err != nil {
		t.Fatal(err)
	}
	if err := c.members[1].Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, err := range log.Tail(t.Context(), 0) {
		if err == nil {
			seen++
			continue
		}
		if problem.KindOf(err) != problem.Unsupported || problem.HintOf(err) == "" ||
			!strings.Contains(err.Error(), "position 2 of the log") || !strings.Contains(err.Error(), "format 2, this version reads 1") {
			t.Errorf("the newer commit: %v (%v, hint %q)", err, problem.KindOf(err), problem.HintOf(err))
		}
		break
	}
	if seen != len(before) {
		t.Errorf("%d commits were read before it", seen)
	}
}
