package styx

import (
	"errors"

	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/projections/routing"
)

var (
	// errOverdue ends the context of a request that waited too long.
	errOverdue = errors.New("the request took longer than the router allows")
	// errCut ends the context of requests in flight when the time for an
	// orderly end is over.
	errCut = errors.New("the router is shutting down")
	// errReplaced stops the writer of a response that another attempt or a
	// page replaces.
	errReplaced = errors.New("the response is not wanted any more: the request goes elsewhere")
)

// pageOf is the table from what the last attempt said to the page answered
// when there is no further one. nil is an environment without DROPs.
func pageOf(err error) page.Page {
	if err == nil {
		return page.RoutingFailure
	}
	switch problem.KindOf(err) {
	case problem.Busy:
		return page.TargetNotResponding
	case problem.Conflict:
		return page.Maintenance
	case problem.Invalid:
		return page.BadRequest
	case problem.Internal, problem.Denied, problem.Unauthenticated, problem.NotFound,
		problem.Unavailable, problem.Unsupported, problem.Exhausted:
		return page.RoutingFailure
	}
	return page.RoutingFailure
}

// statePage gives the page of an environment that does not serve.
func statePage(state routing.RouteState) (p page.Page, closed bool) {
	switch state {
	case routing.Serving:
		return page.Page{}, false
	case routing.NotInitialized: // nothing has been deployed to it
		return page.NoSite, true
	case routing.Deleting:
		return page.Maintenance, true
	}
	return page.ServiceUnavailable, true
}
