package fastcgi

import (
	"errors"

	"pantheon/events/problem"
)

// What can go wrong with an exchange. errors.Is finds them in what Do and Next
// return; the context's error is returned as it is.
var (
	// ErrQueueFull: all workers are busy and MaxQueued others wait, or the wait
	// took too long.
	ErrQueueFull = problem.New(problem.Busy, "cannot reach PHP: all workers are busy and the queue is full")
	// ErrClosed: the pool is draining or closed.
	ErrClosed = problem.New(problem.Unavailable, "cannot reach PHP: the DROP is being stopped")
	// ErrRefused: the request's Check said no.
	ErrRefused = problem.New(problem.Unavailable, "cannot give the request to PHP")
	// ErrDial: nobody listens, or the backlog of the socket is full.
	ErrDial = problem.New(problem.Unavailable, "cannot reach PHP: the socket does not answer")
	// ErrOverloaded: the application refused the request (FCGI_OVERLOADED,
	// FCGI_CANT_MPX_CONN).
	ErrOverloaded = problem.New(problem.Busy, "cannot reach PHP: it refused the request as overloaded")
	// ErrParams: the request's header is too large for FastCGI.
	ErrParams = problem.New(problem.Invalid, "cannot send the request to PHP: its header is too large")
	// ErrBody: the body could not be read.
	ErrBody = problem.New(problem.Internal, "cannot send the request to PHP: its body cannot be read")
	// ErrBroken: the connection failed while the request was being sent.
	ErrBroken = problem.New(problem.Unavailable, "cannot send the request to PHP: the connection broke")
	// ErrHungUp: the connection ended before the response did. The worker
	// crashed, or outlived its time and was killed.
	ErrHungUp = problem.New(problem.Unavailable, "cannot read PHP's response: the worker hung up")
	// ErrMalformed: a record or a header that breaks its specification.
	ErrMalformed = problem.New(problem.Unavailable, "cannot read PHP's response: it is malformed")
	// ErrHeaderTooBig: the response's header exceeds MaxHeaderBytes or
	// MaxHeaderLines.
	ErrHeaderTooBig = problem.New(problem.Unavailable, "cannot read PHP's response: its header is too big")
	// ErrFirstByte: the response did not begin in time.
	ErrFirstByte = problem.New(problem.Unavailable, "cannot read PHP's response: it did not begin in time")
	// ErrTimeout: the response paused too long or took too long as a whole.
	ErrTimeout = problem.New(problem.Unavailable, "cannot read PHP's response: it did not end in time")
)

// Unsent says that PHP cannot have begun the request, so that it may be given
// to another DROP whatever its method is.
func Unsent(err error) bool {
	for _, unsent := range []error{ErrQueueFull, ErrClosed, ErrRefused, ErrDial, ErrOverloaded, ErrParams} {
		if errors.Is(err, unsent) {
			return true
		}
	}
	return false
}
