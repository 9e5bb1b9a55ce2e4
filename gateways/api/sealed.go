package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"pantheon/events"
)

// Personal texts stand sealed in the log and in every view (package events,
// sealed.go). They are opened here, in the answer as it leaves: what a record
// holds is opened whoever made the record, and one rule says for whom.

// mayOpen is the rule: the operator everything; others what belongs to their
// account, to the operator's (upstreams are offered to all), to a site they own,
// or to what their request's access rule has let them see.
func (c *call) mayOpen(owner events.Owner) bool {
	if c.who.operator {
		return true
	}
	if c.who.account == "" {
		return false
	}
	if owner.Account != "" && owner.Account != c.who.account && owner.Account != c.server.options.Operator {
		return false
	}
	if owner.Site == "" || owner.Site == c.site.id || c.shown[owner.Site] {
		return true
	}
	site, known := c.view.state.Site(owner.Site)
	return known && site.Owner == c.who.account
}

// show notes that the caller may see what belongs to a site, which may be gone.
func (c *call) show(site events.SiteID) {
	if c.shown == nil {
		c.shown = map[events.SiteID]bool{}
	}
	c.shown[site] = true
}

// open gives a text with what is sealed in it opened, where the caller may.
func (c *call) open(text string) string {
	return events.ReplaceSealed(text, func(sealed string) string {
		if owner, _, _ := events.ParseSealed(sealed); !c.mayOpen(owner) {
			return sealed
		}
		return c.server.options.Unseal(sealed)
	})
}

// openJSON is open inside the strings of a JSON text.
func (c *call) openJSON(text []byte) []byte {
	if !bytes.Contains(text, []byte(events.SealedPrefix)) {
		return text
	}
	return []byte(events.ReplaceSealed(string(text), func(sealed string) string {
		quoted, err := json.Marshal(c.open(sealed))
		if err != nil {
			return sealed
		}
		return string(quoted[1 : len(quoted)-1])
	}))
}

// writeJSON answers with a JSON value.
func (c *call) writeJSON(status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if status == 0 {
		status = http.StatusOK
	}
	return writeText(c.writer, status, c.openJSON(text))
}
