package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"pantheon/events/problem"
	"pantheon/runtime/fastcgi"
	"pantheon/runtime/web"
)

// A PHP that crashed was answered with "502 Routing Failure", and a POST that
// it had begun would have been sent to another DROP.
func TestFailuresForTheRouter(t *testing.T) {
	for _, c := range []struct {
		err    error
		kind   problem.Kind // for the router
		answer string       // or the page
	}{
		{fmt.Errorf("%w: because", web.ErrWake), problem.Busy, ""},
		{fastcgi.ErrQueueFull, problem.Busy, ""},
		{fastcgi.ErrOverloaded, problem.Busy, ""},
		{fastcgi.ErrClosed, problem.Conflict, ""},
		{fastcgi.ErrDial, problem.Unavailable, ""},
		{web.ErrTooLarge, problem.Invalid, ""},
		{fastcgi.ErrParams, 0, "431 Request Header Fields Too Large"},
		{fastcgi.ErrHungUp, 0, "502 Timeout/Segfault"},
		{fastcgi.ErrMalformed, 0, "502 Bad Gateway"},
		{fastcgi.ErrHeaderTooBig, 0, "502 Upstream Header Too Big"},
		{fastcgi.ErrFirstByte, 0, "503 First Byte Timeout"},
		{fastcgi.ErrTimeout, 0, "504 Gateway Timeout"},
		{errors.New("no kind"), 0, "500 Internal Server Error"},
	} {
		w := httptest.NewRecorder()
		err := answerFailure(w, httptest.NewRequest("POST", "/", nil), c.err)
		if c.answer == "" {
			if err == nil || problem.KindOf(err) != c.kind || !errors.Is(err, c.err) || w.Body.Len() > 0 {
				t.Errorf("%v: for the router %v (%v), written %q", c.err, err, problem.KindOf(err), w.Body)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(c.answer, fmt.Sprint(w.Code)) || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%v: %d %v\n%s", c.err, w.Code, err, w.Body)
		}
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	if err := answerFailure(w, httptest.NewRequest("GET", "/", nil).WithContext(left), fastcgi.ErrHungUp); err == nil || w.Body.Len() > 0 {
		t.Errorf("a request that the router has ended: %v, %q", err, w.Body)
	}
}
