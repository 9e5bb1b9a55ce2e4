package desired_test

import (
	"testing"

	"pantheon/events"
	"pantheon/runtime/agent/desired"
)

const (
	host = events.HostID("00000000000000000000000000000001")
	drop = events.DropID("0000000000000000000000000000000d")
	bind = events.BindingID("0000000000000000000000000000000b")
)

// TestApply: what is admitted is wanted, what is dismissed is to be removed,
// orders are said once and change nothing, other events say nothing.
func TestApply(t *testing.T) {
	s := desired.New()
	cache := events.BindingSpec{Kind: events.CacheServer, MemoryMiB: 64}
	for _, step := range []struct {
		event events.Event
		want  desired.Change
		kib   int64 // for awake DROPs, of 1 GiB
	}{
		{events.HostRegistered{Host: host}, desired.Change{}, 1 << 20},
		{events.DropAdmitted{Drop: drop, Spec: events.DropSpec{Generation: 1}}, desired.Change{Drop: drop}, 1<<20 - events.SleepingDropKiB},
		{events.DropSpecChanged{Drop: drop, Spec: events.DropSpec{Generation: 2}}, desired.Change{Drop: drop}, 1<<20 - events.SleepingDropKiB},
		{events.BindingAdmitted{Binding: bind, Spec: cache}, desired.Change{Binding: bind}, 1<<20 - events.SleepingDropKiB - cache.ReservationKiB()},
		{events.BindingDismissed{Binding: bind, Spec: cache}, desired.Change{Binding: bind}, 1<<20 - events.SleepingDropKiB},
		{events.DropDismissed{Drop: drop}, desired.Change{Drop: drop}, 1 << 20},
	} {
		if got := s.Apply(step.event); got != step.want {
			t.Errorf("%T: %+v, want %+v", step.event, got, step.want)
		}
		if got := s.AvailableKiB(1024); got != step.kib {
			t.Errorf("after %T %d KiB are left, want %d", step.event, got, step.kib)
		}
	}
	if _, waits := s.Dismissed[bind]; !waits || len(s.Drops)+len(s.Bindings) > 0 {
		t.Errorf("at the end: %+v", s)
	}
	if change := s.Apply(events.DropWakeOrdered{Drop: drop}); change.Order == nil || !change.Order.Wake || change.Order.Drop != drop {
		t.Errorf("a wake: %+v", change)
	}
	if change := s.Apply(events.DropSleepOrdered{Drop: drop}); change.Order == nil || change.Order.Wake {
		t.Errorf("a sleep: %+v", change)
	}
}
