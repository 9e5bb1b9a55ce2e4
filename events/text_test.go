package events_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pantheon/events"
)

func TestReason(t *testing.T) {
	for _, text := range []string{"", "short", "bad \xff byte", strings.Repeat("é", events.MaxReasonBytes)} {
		reason := events.Reason(text)
		if len(reason) > events.MaxReasonBytes || !utf8.ValidString(reason) {
			t.Errorf("Reason(%.20q…) has %d bytes, valid UTF-8: %t", text, len(reason), utf8.ValidString(reason))
		}
		if again := events.Reason(reason); again != reason {
			t.Errorf("Reason is not stable: %.20q…", text)
		}
	}
}

func TestCheckText(t *testing.T) {
	for text, valid := range map[string]bool{
		"Grüße": true, "": true, "1234567890": true,
		"12345678901": false, "a\x1b[2J": false, "\xff": false,
	} {
		if err := events.CheckText("label", text, 10); (err == nil) != valid {
			t.Errorf("CheckText(%q): %v", text, err)
		}
	}
}

// The way forward and the way back share the order, and open nothing twice.
func TestWorkflowOrder(t *testing.T) {
	forward := events.WorkflowCreateSite
	var done []events.WorkflowStep
	for open := forward.Open(done); len(open) > 0; open = forward.Open(done) {
		done = append(done, open[len(open)-1]) // the steps of a stage end in any order
	}
	if len(done) != 9 {
		t.Errorf("create_site took %v", done)
	}
	if undo := forward.Undo(nil, events.StepClaimName); len(undo) != 0 {
		t.Errorf("a name that is taken leaves something: %v", undo)
	}
	undo := forward.Undo(done[:3], events.StepImportCode)
	want := []events.WorkflowStep{events.StepRequestDeletion, events.StepRetireBindings, events.StepDeleteEnvironment, events.StepDeleteSite, events.StepReleaseName}
	for i, step := range want {
		if open := forward.OpenUndo(undo, want[:i]); len(open) != 1 || open[0] != step {
			t.Errorf("after %v: open %v, want %s", want[:i], open, step)
		}
	}
	if open := forward.OpenUndo(undo, want); len(open) != 0 {
		t.Errorf("after all: open %v", open)
	}
}
