package abort_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/runtime/abort"
)

// door counts how often it was closed.
type door struct{ closed atomic.Int32 }

func (d *door) Close() error {
	d.closed.Add(1)
	return nil
}

// lazy is a context that counts who waits for it.
type lazy struct {
	context.Context
	waited atomic.Int32
}

func (l *lazy) Done() <-chan struct{} {
	l.waited.Add(1)
	return l.Context.Done()
}

func TestShortExchangesLeaveTheirContextAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w abort.Watch
		ctx := &lazy{Context: t.Context()}
		for range 3 { // also after a rest
			var d door
			var e abort.Exchange
			w.Begin(&e, ctx, &d)
			time.Sleep(abort.Period * 3 / 4)
			if !w.End(&e) || w.End(&e) {
				t.Error("an exchange is its owner's once")
			}
			time.Sleep(5 * abort.Period)
			if n := d.closed.Load(); n > 0 {
				t.Errorf("closed %d times after its end", n)
			}
		}
		if n := ctx.waited.Load(); n > 0 {
			t.Errorf("the context was waited for %d times", n)
		}
	})
}

func TestContextEndsItsExchange(t *testing.T) {
	for _, c := range []struct {
		name         string
		ends, before time.Duration
	}{
		{"at its beginning", 0, 2 * abort.Period},
		{"soon", abort.Period / 2, 2 * abort.Period},
		{"late", 7 * abort.Period, 7 * abort.Period},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w abort.Watch
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var mine, other door
				var e, beside abort.Exchange
				w.Begin(&beside, t.Context(), &other)
				w.Begin(&e, ctx, &mine)
				time.Sleep(c.ends)
				cancel()
				time.Sleep(c.before - c.ends)
				synctest.Wait()
				if n := mine.closed.Load(); n != 1 {
					t.Errorf("closed %d times", n)
				}
				if w.End(&e) {
					t.Error("the exchange is its owner's although it was ended")
				}
				if n := other.closed.Load(); n != 0 || !w.End(&beside) {
					t.Errorf("the one beside it was closed %d times", n)
				}
			})
		})
	}
}

// TestManyAtOnce: with the race detector, ends and leavings at the same time.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w abort.Watch
		var closed, kept atomic.Int32
		const exchanges = 200
		done := make(chan struct{})
		for i := range exchanges {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*abort.Period/2)
				defer cancel()
				var d door
				var e abort.Exchange
				w.Begin(&e, ctx, &d)
				time.Sleep(time.Duration(i%11) * abort.Period / 2)
				mine := w.End(&e)
				time.Sleep(10 * abort.Period)
				if n := d.closed.Load(); mine && n == 0 {
					kept.Add(1)
				} else if !mine && n == 1 {
					closed.Add(1)
				}
				done <- struct{}{}
			}()
		}
		for range exchanges {
			<-done
		}
		if c, k := closed.Load(), kept.Load(); c+k != exchanges || c == 0 || k == 0 {
			t.Errorf("%d were ended and %d kept, of %d", c, k, exchanges)
		}
	})
}
