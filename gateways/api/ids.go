package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"pantheon/events"
	"pantheon/events/problem"
)

// commandID makes the id under which the request's command happens once. The
// account stands in it, so nobody can spend another's key.
func commandID(r *http.Request, account events.AccountID, body []byte, random func() string) (events.CommandID, error) {
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if len(key) > maxIdempotencyKeyBytes {
			return "", problem.New(problem.Invalid, "cannot use an Idempotency-Key of %d bytes: %d are allowed", len(key), maxIdempotencyKeyBytes)
		}
		return events.CommandID("api/" + string(account) + "/" + key), nil
	}
	if trace := r.Header.Get("X-Pantheon-Trace-Id"); trace != "" {
		// One trace id covers a whole run of Terminus, so the request itself is
		// part of what makes it one.
		sum := digest(trace, r.Method, r.URL.RequestURI(), string(body))
		return events.CommandID("api/" + string(account) + "/" + hex.EncodeToString(sum[:16])), nil
	}
	return events.CommandID("api/" + string(account) + "/" + random()), nil
}

// derivedUUID gives the identifier that a command mints for a purpose: a UUID
// of version 8 (RFC 9562 §5.8).
func derivedUUID(command events.CommandID, purpose string) string {
	sum := digest(string(command), purpose)
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	text := hex.EncodeToString(sum[:16])
	return fmt.Sprintf("%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}

// digest is SHA-256 over the parts, each preceded by its length, so that no
// two lists of parts look the same.
func digest(parts ...string) [sha256.Size]byte {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
