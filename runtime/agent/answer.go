package agent

import (
	"errors"
	"net/http"

	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/runtime/web"
)

// ServeDrop speaks to a router, which tries another DROP after every error,
// whatever the method, and chooses its page by the error's kind. So an error is
// given only where PHP cannot have begun the request; for the others the page
// is written here, whose status tells the router which requests may be tried
// again.

// answerFailure ends a request that a DROP's web server could not answer:
// with an error for the router, or with a page.
func answerFailure(w http.ResponseWriter, r *http.Request, err error) error {
	if r.Context().Err() != nil { // the router knows why
		return err
	}
	if refused := refusal(err); refused != nil {
		return refused
	}
	_, p := web.PageFor(err)
	p.Write(w, w.Header().Get("X-Styx-Req-Id"))
	return nil
}

// refusal gives the error by which a router knows what became of a request
// that never began, nil for one that did.
func refusal(err error) error {
	status, p := web.PageFor(err)
	switch {
	case errors.Is(err, errFenced):
		return problem.Wrap(problem.Unavailable, err, "cannot take the request")
	case p == page.BadRequest, p == page.ContentTooLarge: // the visitor's side; a router knows more
		return problem.Wrap(problem.Invalid, err, "cannot read the request")
	case !web.Unsent(err):
		return nil
	case p == page.TargetNotResponding:
		return problem.Wrap(problem.Busy, err, "cannot take the request")
	case p == page.Maintenance:
		return problem.Wrap(problem.Conflict, err, "cannot take the request")
	case status < http.StatusInternalServerError: // no DROP would take it
		return nil
	}
	return problem.Wrap(problem.Unavailable, err, "cannot reach PHP")
}
