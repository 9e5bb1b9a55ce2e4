package api

import (
	"net/url"
	"strconv"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// AuditHead is the newest signed head of the log's tree.
type AuditHead struct {
	Size     int64           `json:"size"` // commits
	Position events.Position `json:"position"`
	Root     string          `json:"root"` // base64
	Time     time.Time       `json:"time"`
	Key      string          `json:"key"`  // the public key
	Note     string          `json:"note"` // all but the key, signed
}

var errNoAudit = problem.New(problem.Unsupported, "cannot prove anything: this cell keeps no audit tree")

func showAuditHead(c *call) (reply, error) {
	auditor := c.server.options.Audit
	if auditor == nil {
		return reply{}, errNoAudit
	}
	head, err := auditor.Head(c.request.Context())
	if err != nil {
		return reply{}, err
	}
	_, key := auditor.Signed(0)
	return reply{body: AuditHead{head.Size, head.Position, head.Root.String(), head.Time, key, head.Note}}, nil
}

func showProof(c *call) (reply, error) {
	if c.server.options.Audit == nil {
		return reply{}, errNoAudit
	}
	position, err := numberOf[events.Position](c.request.URL.Query(), "position")
	if err != nil {
		return reply{}, err
	}
	proof, err := c.server.options.Audit.Prove(c.request.Context(), position)
	return reply{body: proof}, err
}

func showConsistency(c *call) (reply, error) {
	if c.server.options.Audit == nil {
		return reply{}, errNoAudit
	}
	query := c.request.URL.Query()
	from, err := numberOf[int64](query, "from")
	if err != nil {
		return reply{}, err
	}
	to, err := numberOf[int64](query, "to")
	if err != nil {
		return reply{}, err
	}
	growth, err := c.server.options.Audit.ProveConsistency(c.request.Context(), from, to)
	return reply{body: growth}, err
}

// numberOf reads a number of a query, 0 where it is missing.
func numberOf[N ~int64 | ~uint64](query url.Values, name string) (N, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, problem.New(problem.Invalid, "cannot read %s=%.40s: it must be a number", name, text)
	}
	return N(n), nil
}
