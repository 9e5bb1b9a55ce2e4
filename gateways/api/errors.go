package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"pantheon/events/problem"
)

// Error is the body of every answer that is no success, to every client but
// Terminus.
type Error struct {
	Kind    string `json:"kind"` // of the problem table
	Message string `json:"message"`
	Hint    string `json:"hint,omitzero"` // the next thing to do
	ID      string `json:"id"`            // finds the line in the platform's log
}

// isTerminus is the one rule that tells the two kinds of client apart.
func isTerminus(r *http.Request) bool {
	return strings.HasPrefix(r.UserAgent(), "Terminus/")
}

// statusFor gives the status of a problem. Terminus retries everything that is
// neither 20x nor 40x five times over more than a minute and then dies of it,
// so it gets a conflict instead of "try again later": its user sees the words
// at once.
func statusFor(kind problem.Kind, terminus bool) int {
	status := kind.HTTPStatus()
	if terminus && status > http.StatusConflict {
		if kind == problem.Internal {
			return http.StatusBadRequest
		}
		return http.StatusConflict
	}
	return status
}

// errorBody gives the body of a problem. The text of an internal error is our
// business: it goes to the log under the id, not to the client.
func errorBody(err error, id string, terminus bool) any {
	kind := problem.KindOf(err)
	message, hint := err.Error(), problem.HintOf(err)
	if kind == problem.Internal {
		message = "internal error"
		hint = "look for " + id + " in the platform's log"
	}
	if !terminus {
		return Error{Kind: kind.String(), Message: message, Hint: hint, ID: id}
	}
	if hint != "" {
		message += "\n" + hint
	}
	return message + " (" + id + ")"
}

// WriteError answers with an error as the API does, for who stands in its place.
func WriteError(w http.ResponseWriter, err error) {
	text, _ := json.Marshal(errorBody(err, randomHex(8), false)) // two texts and a name
	_ = writeText(w, statusFor(problem.KindOf(err), false), text)
}

// ErrorOf reads the body of an answer that is no success, for clients.
func ErrorOf(status int, body []byte) *problem.Error {
	var e Error
	if err := json.Unmarshal(body, &e); err != nil || e.Message == "" {
		return problem.New(problem.Internal, "the API answered with status %d", status)
	}
	text := e.Message
	if e.ID != "" && problem.ParseKind(e.Kind) == problem.Internal {
		text += " (" + e.ID + ")"
	}
	return &problem.Error{Kind: problem.ParseKind(e.Kind), Text: text, Hint: e.Hint}
}
