package events

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
)

// withTable runs a test under another codec table.
func withTable(t *testing.T, rows []row) {
	t.Helper()
	oldTable, oldNames, oldTypes := table, byName, byType
	t.Cleanup(func() { table, byName, byType = oldTable, oldNames, oldTypes })
	table = rows
	byName, byType = indexTable()
}

// How an event changes: its line stays, with a decode that makes today's event
// of the old payload, and a line with the next version is added. What was
// written stays readable and keeps its hash, what is written is new, and the
// version before takes it for what it does not know.
func TestUpcaster(t *testing.T) {
	old, err := os.ReadFile(wireDir + "/SiteDeletionRequested.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	before, err := Decode(old)
	if err != nil {
		t.Fatal(err)
	}
	was := before.Events[0].(SiteDeletionRequested)

	rows := slices.Clone(table)
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == "SiteDeletionRequested" })
	rows[i].decode = func(payload []byte) (Event, error) {
		var former struct {
			Site   SiteID `json:"site"`
			Reason string `json:"reason"`
		}
		if err := json.Unmarshal(payload, &former, json.RejectUnknownMembers(true)); err != nil {
			return nil, err
		}
		return SiteDeletionRequested{Site: former.Site, Reason: "because: " + former.Reason}, nil
	}
	rows = append(rows, current[SiteDeletionRequested](KindSite, "SiteDeletionRequested", 2))
	var wire []byte
	t.Run("newer", func(t *testing.T) {
		withTable(t, rows)
		read, err := Decode(old)
		if err != nil {
			t.Fatal(err)
		}
		if read.Hash != before.Hash || read.Events[0] != (SiteDeletionRequested{was.Site, "because: " + was.Reason}) {
			t.Errorf("the old commit is read as %+v with hash %s, was %s", read.Events[0], read.Hash, before.Hash)
		}
		if wire, _, err = Encode(read.Commit, Tip{}); err != nil || !bytes.Contains(wire, []byte("\nSiteDeletionRequested 2 {")) {
			t.Errorf("it is written as %s (%v)", wire, err)
		}
		again, err := Decode(wire)
		if err != nil || again.Events[0] != read.Events[0] {
			t.Errorf("what was written is read as %+v (%v)", again.Events, err)
		}
		if slices.Contains(Names()[1:], Names()[0]) || NameOf(again.Events[0]) != "SiteDeletionRequested" {
			t.Error("the event has two names")
		}
	})
	read, err := Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	if unknown, is := read.Events[0].(Unknown); !is || unknown.Name != "SiteDeletionRequested" || unknown.Version != 2 {
		t.Errorf("the version before reads %#v", read.Events[0])
	}
}
