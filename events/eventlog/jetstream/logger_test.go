package jetstream

import (
	"context"
	"log/slog"
	"strings"
	"testing"
)

// TestServerLogLevels: what the embedded server mends by itself after a kill
// was a warning to the operator at the default level. A failed write stays an
// end of the server's run, whatever the level of its line.
func TestServerLogLevels(t *testing.T) {
	var shown strings.Builder
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)
	l := &serverLogger{slog.New(slog.NewTextHandler(&shown, &slog.HandlerOptions{Level: slog.LevelWarn})), fail}
	l.Noticef("Server is ready")
	l.Warnf("Filestore [%s] %s", "log", "Stream state outdated, will rebuild")
	if shown.Len() > 0 || ctx.Err() != nil {
		t.Errorf("shown at WARN: %s, failed: %v", shown.String(), context.Cause(ctx))
	}
	l.Errorf("something is wrong")
	if !strings.Contains(shown.String(), "level=ERROR msg=\"something is wrong\"") {
		t.Errorf("shown at WARN: %s", shown.String())
	}
	l.Warnf("JetStream failed to store a msg on stream %q", "log")
	if ctx.Err() == nil {
		t.Error("a failed write did not end the server's run")
	}
}
