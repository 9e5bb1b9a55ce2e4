package events_test

import (
	"testing"

	"pantheon/events"
)

func TestDecodePayload(t *testing.T) {
	event, err := events.DecodePayload("HostLost", []byte(`{"host":"h","reason":"power"}`))
	if err != nil || event != (events.HostLost{Host: "h", Reason: "power"}) {
		t.Errorf("%+v, %v", event, err)
	}
	for name, payload := range map[string]string{"HostLevitated": `{"host":"h"}`, "HostLost": "null"} {
		event, err := events.DecodePayload(name, []byte(payload))
		if unknown, is := event.(events.Unknown); err != nil || !is || unknown.Name != name {
			t.Errorf("%s %s: %+v, %v", name, payload, event, err)
		}
	}
	if _, err := events.DecodePayload("HostLost", []byte(`{"host":"h","colour":"red"}`)); err == nil {
		t.Error("a member that no version has was taken")
	}
}
