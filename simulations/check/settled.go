package check

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"pantheon/events"
)

// Unsettled says what the log still has to bring about; empty where nothing.
func (l *Ledger) Unsettled() string {
	reason := First(l.workflows, func(id events.WorkflowID, w events.WorkflowStarted) string {
		return fmt.Sprintf("workflow %s (%s) has not ended", id, w.Description)
	})
	if reason == "" {
		reason = First(l.environments, l.unsettledEnvironment)
	}
	if reason == "" {
		reason = First(l.drops, l.unsettledDrop)
	}
	if reason == "" {
		reason = First(l.bindings, bindingHolders)
	}
	return reason
}

func (l *Ledger) unsettledDrop(id events.DropID, d *drop) string {
	if !d.retired && d.retiring {
		return fmt.Sprintf("DROP %s is retiring", id)
	}
	return l.holders(id, d)
}

// First gives what is to be said of the first key, in their order, of which
// something is.
func First[K cmp.Ordered, V any](m map[K]V, say func(K, V) string) (said string) {
	var first K
	for key, value := range m {
		if said == "" || key < first {
			if text := say(key, value); text != "" {
				first, said = key, text
			}
		}
	}
	return said
}

func (l *Ledger) unsettledEnvironment(id events.EnvironmentID, env *environment) string {
	wanted := l.DropsWanted(id)
	if env.deleting {
		wanted = 0
	}
	there := 0
	for _, drop := range env.drops {
		d := l.drops[drop]
		switch {
		case d.host == "" && (l.Unplaceable(id) || l.DataLost(id)):
		case d.host == "":
			return fmt.Sprintf("DROP %s of %s has no host", drop, id)
		case l.hosts[d.host].lost: // and stays, beside its data
		case d.ready < d.generation && !l.DataLost(id): // nobody prepares it without
			return fmt.Sprintf("DROP %s of %s is ready for generation %d of %d", drop, id, d.ready, d.generation)
		}
		there++
	}
	if there != wanted && !(there > wanted && l.DataLost(id)) { // who is to be replaced stays until the other is ready
		return fmt.Sprintf("environment %s has %d DROPs, wanted are %d", id, there, wanted)
	}
	return ""
}

// holders: at rest a DROP is held by its own host and no other.
func (l *Ledger) holders(id events.DropID, d *drop) string {
	for _, on := range d.heldBy {
		if on != d.host {
			return fmt.Sprintf("host %s holds DROP %s, whose own stream says %q", on, id, d.host)
		}
	}
	if d.host != "" && len(d.heldBy) == 0 {
		return fmt.Sprintf("the stream of DROP %s says that it is on host %s, which does not hold it", id, d.host)
	}
	return ""
}

func bindingHolders(id events.BindingID, b *binding) string {
	switch on := b.heldBy; {
	case len(on) > 1:
		return fmt.Sprintf("binding %s is held by the hosts %s and %s", id, on[0], on[1])
	case b.retired && len(on) > 0:
		return fmt.Sprintf("binding %s is retired and host %s holds it", id, on[0])
	}
	return ""
}

// Final checks what has to be true at rest.
func (l *Ledger) Final(time.Duration) {
	for _, r := range l.refused {
		l.noEffect(r)
	}
	if reason := First(l.names, l.ownerless); reason != "" {
		l.violate("names", "%s", reason)
	}
	if reason := l.Unsettled(); reason != "" {
		l.violate("twice", "%s", reason)
	}
}

// ownerless says of a name that its holder is not there.
func (l *Ledger) ownerless(name events.NameID, held claim) string {
	kind, id, _ := strings.Cut(held.by, "/")
	if !held.direct && kind == string(events.KindSite) && l.sites[events.SiteID(id)] != created {
		return fmt.Sprintf("%s is held by %s, which is not there", name, held.by)
	}
	return ""
}
