package natsbucket

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pantheon/runtime/vault"
)

// fakeEntry is what a server that is behind the others gives: none of a real
// cluster can be held back at will.
type fakeEntry struct {
	jetstream.KeyValueEntry
	revision uint64
}

func (e fakeEntry) Key() string                     { return fmt.Sprint("k", e.revision) }
func (e fakeEntry) Value() []byte                   { return nil }
func (e fakeEntry) Revision() uint64                { return e.revision }
func (e fakeEntry) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

// The mark comes when the server that is watched has given all, and has caught up
// with the leader.
func TestMark(t *testing.T) {
	for name, row := range map[string]struct {
		after, leader uint64
		given         []uint64 // 0 is the server's own mark
		want          string
	}{
		"empty":                 {0, 0, []uint64{0, 1}, "[mark k1]"},
		"not behind":            {0, 7, []uint64{3, 7, 0, 8}, "[k3 k7 mark k8]"},
		"behind":                {0, 7, []uint64{3, 5, 0, 6, 7, 8}, "[k3 k5 k6 k7 mark k8]"},
		"the newest was erased": {0, 7, []uint64{3, 5, 0, 8}, "[k3 k5 k8 mark]"},
		"more than the leader":  {0, 7, []uint64{3, 7, 9, 0}, "[k3 k7 k9 mark]"},
		"nothing new":           {7, 7, []uint64{0, 8}, "[mark k8]"},
		"behind, from later on": {5, 7, []uint64{0, 7}, "[k7 mark]"},
	} {
		var got []string
		m := marker{newest: row.after, want: row.leader, late: time.NewTimer(time.Hour), each: func(entry vault.Entry) error {
			if entry.Key == "" {
				got = append(got, "mark")
			} else {
				got = append(got, entry.Key)
			}
			return nil
		}}
		for _, revision := range row.given {
			var err error
			if revision == 0 {
				err = m.entry(nil)
			} else {
				err = m.entry(fakeEntry{revision: revision})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(got) != row.want {
			t.Errorf("%s: %v, want %s", name, got, row.want)
		}
	}
}
