package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"

	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/runtime/fastcgi"
)

var (
	// ErrWake: the DROP could not be woken; the cause says why.
	ErrWake = problem.New(problem.Unavailable, "cannot wake the DROP")
	// ErrTooLarge: the body exceeds MaxBodyBytes.
	ErrTooLarge = problem.New(problem.Invalid, "cannot take the upload: it exceeds 100 MB")
	// ErrSpoolFull: the bodies of the DROP's requests exceed MaxSpoolBytes.
	ErrSpoolFull = problem.New(problem.Busy, "cannot take the upload: too many others are under way")
	// ErrSpool: the body cannot be written to the spool folder.
	ErrSpool = problem.New(problem.Unavailable, "cannot take the upload: it cannot be stored")
	// errVisitor: the visitor's side of the exchange failed.
	errVisitor = errors.New("cannot read the request's body")
)

// Unsent says that PHP cannot have begun the request that failed with err: any
// method may be tried on another DROP.
func Unsent(err error) bool { return errors.Is(err, ErrWake) || fastcgi.Unsent(err) }

// pages is the table of what an error looks like to a visitor; the first
// match counts.
var pages = []struct {
	err  error
	page page.Page
}{
	{ErrTooLarge, page.ContentTooLarge},
	{errVisitor, page.BadRequest},
	{fastcgi.ErrParams, page.HeaderTooLarge},
	{fastcgi.ErrQueueFull, page.TargetNotResponding},
	{fastcgi.ErrOverloaded, page.TargetNotResponding},
	{ErrWake, page.TargetNotResponding},
	{fastcgi.ErrRefused, page.RoutingFailure},
	{fastcgi.ErrDial, page.RoutingFailure},
	{fastcgi.ErrClosed, page.Maintenance},
	{fastcgi.ErrHungUp, page.TimeoutSegfault},
	{fastcgi.ErrBroken, page.BadGateway},
	{fastcgi.ErrMalformed, page.BadGateway},
	{fastcgi.ErrHeaderTooBig, page.UpstreamHeaderTooBig},
	{fastcgi.ErrFirstByte, page.FirstByteTimeout},
	{fastcgi.ErrTimeout, page.GatewayTimeout},
	{context.DeadlineExceeded, page.GatewayTimeout},
	{fs.ErrPermission, page.Forbidden},
}

// PageFor gives the status and the page for an error that Serve returned.
func PageFor(err error) (int, page.Page) {
	var limit *http.MaxBytesError
	switch { // the router before us reads the body, and has bounds of its own
	case errors.As(err, &limit):
		return page.ContentTooLarge.Status, page.ContentTooLarge
	case errors.Is(err, errVisitor) && errors.Is(err, os.ErrDeadlineExceeded):
		return page.RequestTimeout.Status, page.RequestTimeout
	}
	for _, row := range pages {
		if errors.Is(err, row.err) {
			return row.page.Status, row.page
		}
	}
	switch problem.KindOf(err) {
	case problem.Busy, problem.Unavailable, problem.Exhausted:
		return page.ServiceUnavailable.Status, page.ServiceUnavailable
	default:
		return page.InternalError.Status, page.InternalError
	}
}
