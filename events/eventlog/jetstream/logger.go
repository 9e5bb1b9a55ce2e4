package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// serverLogger takes the server's lines. It is also the only way to learn of a
// write error at once: the server writes a line and answers nobody.
type serverLogger struct {
	logger *slog.Logger
	fail   context.CancelCauseFunc // of this run of the server
}

// writeErrors are the beginnings of lines after which the server takes no
// writes.
var writeErrors = []string{
	"JetStream failed to store a msg on stream", "Critical write error",
	"Filesystem permission denied", "JetStream out of ", "JetStream resource limits exceeded",
}

func (l *serverLogger) check(text string) {
	for _, beginning := range writeErrors {
		if strings.Contains(text, beginning) {
			l.fail(errors.New(text))
		}
	}
}

func (l *serverLogger) Noticef(format string, v ...any) {
	l.logger.Debug(fmt.Sprintf(format, v...), "from", "nats-server")
}

// Warnf is for those who look closer: the server warns of each thing that it
// mends by itself, one line for each file after a kill. What it cannot mend
// ends this run of it, and Open or the healer say so.
func (l *serverLogger) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.check(text)
	l.logger.Info(text, "from", "nats-server")
}

// peerErrors are in lines about another machine, which is away, begins anew or
// is turned away. The server writes them with each attempt, several a second.
var peerErrors = []string{"authentication error", "Error trying to connect to route", "TLS handshake error", "TLS route handshake error"}

func (l *serverLogger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.check(text)
	level := slog.LevelError
	if slices.ContainsFunc(peerErrors, func(about string) bool { return strings.Contains(text, about) }) {
		level = slog.LevelInfo
	}
	l.logger.Log(context.Background(), level, text, "from", "nats-server")
}

// Fatalf does not end the process: what the server cannot do, Open or the
// healer report.
func (l *serverLogger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.check(text)
	l.fail(errors.New(text))
	l.logger.Error(text, "from", "nats-server", "fatal", true)
}

func (l *serverLogger) Debugf(format string, v ...any) {}

func (l *serverLogger) Tracef(format string, v ...any) {}
