package zone

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pantheon/events"
	"pantheon/projections/foldtest"
)

// table is every zone as text: its serial, the serials that its journal leads
// from, what is not a record, and the records.
func table(s *State) []string {
	var lines []string
	for z := range s.All() {
		line := fmt.Sprintf("%s %s serial %d", z.Name(), z.Role(), z.Serial())
		for _, change := range z.journal.From("") {
			line += fmt.Sprintf(" %d→%d", change.From, change.To)
		}
		if steps, ok := z.Changes(z.serial - 1); ok {
			for change := range steps {
				line += " at " + foldtest.Clock(change.At)
			}
		}
		lines = append(lines, line)
		for _, secondary := range z.Secondaries() {
			lines = append(lines, fmt.Sprintf("  secondary %s key %q notify %v", secondary.Address, secondary.TSIGKey, secondary.Notify))
		}
		for _, c := range z.Challenges() {
			lines = append(lines, fmt.Sprintf("  challenge %s %s until %s", c.Name, c.Value, foldtest.Clock(c.Expires)))
		}
		for _, k := range z.Keys() {
			lines = append(lines, fmt.Sprintf("  key %s %d %s %d %s", k.ID, k.Flags, k.Role, k.Tag, k.State))
		}
		var text strings.Builder
		if err := z.Text(&text); err != nil {
			lines = append(lines, err.Error())
		}
		for record := range strings.Lines(text.String()) {
			fields := strings.Fields(record)
			if fields[3] == "SOA" && (z.Serial() > 1 || len(z.names.At(z.apex).own()) > 0) {
				continue // shown once
			}
			lines = append(lines, "  "+strings.Join(fields, " "))
		}
	}
	return lines
}

var testOptions = Options{Domain: "Test.", Internal: "drush.test", Settings: events.ZoneSettings{
	Entry: []string{"192.0.2.1", "2001:db8::1"}, Services: []events.ServicePort{{Server: "appserver", Service: "ssh", Port: 2222}},
}, Together: func(tasks ...func()) {
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(task)
	}
	all.Wait()
}}

func TestScripts(t *testing.T) { foldtest.Run(t, "testdata/*.txt", Empty(testOptions), table) }
