package events

import "fmt"

// DecodePayload reads an event as the API shows it: its name, and its payload
// in the newest version that this program knows. What it does not know becomes
// Unknown.
func DecodePayload(name string, payload []byte) (Event, error) {
	var newest *row
	for i := range table {
		if r := &table[i]; r.name == name && (newest == nil || r.version > newest.version) {
			newest = r
		}
	}
	if newest == nil || string(payload) == "null" {
		return Unknown{Name: name, Payload: payload}, nil
	}
	event, err := newest.decode(payload)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", name, err)
	}
	return event, nil
}
