package main

import (
	"context"
	"crypto/tls"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/runtime/identity"
)

// What a machine may do at the log's servers.
//
// A control machine may do everything that does not destroy the log. Any other
// one reads the log, and appends nothing: what it has to say it asks a control
// machine for, at subjects that bear its name and roles, as its certificate has
// them; see cellcontrol.go. Beside that it renews its own lease, has releases,
// tells how it does, and answers what control machines ask. It has no streams or
// consumers made and deletes nothing, and is alone in an account of its own, which
// passes on nothing else: see jetstream.Rights.

const (
	// secretsBucket is where the control machines share the cell's secrets.
	secretsBucket  = "secrets"
	releasesBucket = "releases"
)

// admitToLog turns removed machines away.
func (p *platform) admitToLog(state tls.ConnectionState) (jetstream.Rights, bool) {
	peer, err := identity.PeerOf(state)
	switch {
	case err != nil || p.isRemoved(peer.ID):
		return jetstream.Rights{}, false
	case peer.Has(events.RoleControl):
		return jetstream.Rights{}, true
	}
	return rightsOf(peer.ID, peer.Roles), true
}

func (p *platform) isRemoved(id events.HostID) bool {
	view := p.cell.shown.Load()
	return view != nil && view.Snapshot().Removed(id)
}

// rightsOf a machine that is no control machine.
func rightsOf(id events.HostID, roles []events.HostRole) jetstream.Rights {
	from := asker{id, roles}
	rights := jetstream.Rights{
		Guest: string(id) + "-" + rolesToken(roles),
		Ask: []string{
			from.subject("*"), askFetch.from(id, "*"), vitalsSubject + string(id), answerSubject + string(id) + ".*",
			"$O." + releasesBucket + ".>", "$KV." + leaseBucketName + "." + string(id),
		},
		// A machine of protocol 1 hears answers at an inbox of its name: it keeps its
		// lease and can be told to restart. What it reports waits until it has.
		Hear: []string{"_INBOX_" + string(id) + ".>", "committed.>", askPublish.subject(id), askCodeLog.subject(id), askRestart.subject(id)},
	}
	for _, stream := range []string{"events", "OBJ_" + releasesBucket, "KV_" + leaseBucketName} {
		rights.Ask = append(rights.Ask, "$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream)
		rights.AskMany = append(rights.AskMany, "$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>")
	}
	return rights
}

// logMemberTLS is for the connections between the machines that hold the log.
func (p *platform) logMemberTLS() *tls.Config {
	config := p.cell.node.LogMember()
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		peer, err := identity.PeerOf(state)
		if err == nil && p.isRemoved(peer.ID) {
			err = problem.New(problem.Denied, "machine %s was removed from the cell", peer.ID)
		}
		return err
	}
	return config
}

// turnAway ends the connections to the log of machines that were removed, at
// once, and of those whose certificate has ended.
func (p *platform) turnAway(ctx context.Context) error {
	go func() {
		ticker := time.NewTicker(endedPause)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.turnAwayNow()
			case <-ctx.Done():
				return
			}
		}
	}()
	known := -1
	return p.eachChange(ctx, socketPause, func(state inventory.State) error {
		if removed := state.RemovedCount(); removed != known {
			known = removed
			p.turnAwayNow()
		}
		return nil
	})
}

// endedPause is between two looks for certificates that have ended; they live a
// day.
const endedPause = time.Minute

func (p *platform) turnAwayNow() {
	door, opens := p.log.(interface{ TurnAway() int })
	if p.cell.member != nil {
		door, opens = p.cell.member, true
	}
	if !opens {
		return // it holds no replica of the log
	}
	if ended := door.TurnAway(); ended > 0 {
		p.options.logger.Warn("connections to the log were ended: the machine was removed, or its certificate has ended", "connections", ended)
	}
}
