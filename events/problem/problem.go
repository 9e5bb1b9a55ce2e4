// Package problem is the one table of error kinds: what a kind means to the
// caller, and the HTTP status and exit code it becomes at each gateway. Errors
// without a kind are internal: our bug.
//
// An error's text says who is at fault in its first words ("cannot …" for an
// operation that failed); its hint is the next thing to type or do. Neither
// ever holds a secret.
package problem

import (
	"errors"
	"fmt"
)

// Kind tells the caller what it may do about an error.
type Kind uint8

// The kinds.
const (
	Internal        Kind = iota // our bug
	Invalid                     // the request can never succeed as it stands
	Denied                      // the caller may not
	Unauthenticated             // the caller did not say who it is
	NotFound                    // the thing does not exist
	Conflict                    // the thing is in a state that forbids this
	Busy                        // a bound is reached: try again later
	Unavailable                 // something needed is down, full or missing
	Unsupported                 // this cell cannot do that
	Exhausted                   // there is no room left, and waiting alone makes none
)

// entry is one row of the table. Terminus takes only 20x and 40x as final
// answers and retries everything else for over a minute, so kinds that a
// retry cannot mend stay at or below 409; Busy and Unavailable want the retry.
type entry struct {
	name   string
	status int
	exit   int
}

var table = [...]entry{
	Internal:        {"internal", 500, 70}, // EX_SOFTWARE of sysexits(3), as all below
	Invalid:         {"invalid", 400, 64},
	Denied:          {"denied", 403, 77},
	Unauthenticated: {"unauthenticated", 401, 77},
	NotFound:        {"not_found", 404, 66},
	Conflict:        {"conflict", 409, 65},
	Busy:            {"busy", 503, 75},
	Unavailable:     {"unavailable", 503, 69},
	Unsupported:     {"unsupported", 405, 64},
	Exhausted:       {"exhausted", 409, 75},
}

func (k Kind) row() entry {
	if int(k) >= len(table) {
		return table[Internal]
	}
	return table[k]
}

// String gives the kind's name on the wire.
func (k Kind) String() string { return k.row().name }

// HTTPStatus gives the status a gateway answers with.
func (k Kind) HTTPStatus() int { return k.row().status }

// ExitCode gives the command line's exit code, after sysexits(3).
func (k Kind) ExitCode() int { return k.row().exit }

// ParseKind is the inverse of String; an unknown name is Internal.
func ParseKind(name string) Kind {
	for k, row := range table {
		if row.name == name {
			return Kind(k)
		}
	}
	return Internal
}

// Error is an error with a kind and, where there is one, a hint.
type Error struct {
	Kind Kind
	Text string
	Hint string
	Err  error // the cause; nil where there is none
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Wrap gives a cause a kind and the operation that failed.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...), Err: cause}
}

// WithHint sets the next thing to do and returns the same error.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf gives the kind of the outermost Error in err's chain, Internal where
// there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// HintOf gives the outermost hint in err's chain.
func HintOf(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
