// Command pantheon is the whole platform in one binary: `pantheon up` runs it,
// and every other command is a client of it.
//
// A command line enters at main, becomes a tree of cobra commands (root.go, one
// file for each noun), and ends in an exit code of the problem table. Clients
// speak HTTP to the API gateway: over the Unix socket in the data folder on the
// same machine, else to --api with a token. They keep no state and decide
// nothing; what they print is what the API answered. The servers are put
// together in platform.go, the one place that knows all concrete types, with those
// of a cell of several machines in cell*.go and cluster.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		received := <-signals
		signal.Stop(signals) // a second one ends the process at once
		stop(signalError{received})
	}()
	c := &cli{in: os.Stdin, out: os.Stdout, errors: os.Stderr, getenv: os.Getenv}
	os.Exit(c.run(ctx, os.Args[1:]))
}

// signalError is the cause of a context that a signal ended.
type signalError struct{ os.Signal }

func (e signalError) Error() string { return "received the signal: " + e.String() }

// endedBy says whether a signal of the kind ended the context.
func endedBy(ctx context.Context, kind os.Signal) bool {
	received, ok := context.Cause(ctx).(signalError) //nolint:errorlint // causes are not wrapped
	return ok && received.Signal == kind
}
