package main

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	phpfpm "pantheon/runtime/drop"
)

// What this machine's software can do, and whether that is enough to take part.
//
// The machines of a cell speak protocols that differ by one at most, as they do
// while pantheon upgrade goes through it. A binary that is further from one of the
// others, put there by hand or left behind, learns so from the log at its start,
// before the machine has a lease, decides or serves; or while it runs, when the
// others have gone on. Then it tells the control machines why, for host list, and
// ends. php-fpm and databases go on without it, for the right binary to take over;
// DROPs whose data is elsewhere are placed there meanwhile.

// ownSoftware is what this machine tells of itself.
func ownSoftware() host.ReportSoftware {
	return host.ReportSoftware{Protocol: cellProtocol, PHP: phpfpm.InstalledPHP()}
}

// speaks says whether binaries of two protocols can be in one cell.
func speaks(one, other int) bool { return one-other <= 1 && other-one <= 1 }

// checkProtocol compares this binary with the others of the cell. Those that are
// lost may be of any age, and are asked only where there are no others.
func checkProtocol(own int, self events.HostID, hosts []inventory.Host) error {
	others := slices.DeleteFunc(slices.Clone(hosts), func(h inventory.Host) bool { return h.ID == self || h.Protocol == 0 })
	there := slices.DeleteFunc(slices.Clone(others), func(h inventory.Host) bool { return h.Status == inventory.Lost })
	if len(there) == 0 {
		there = others
	}
	for _, h := range there {
		if speaks(own, h.Protocol) {
			continue
		}
		what, step := "too old", "install version %.60s here, and start it"
		if own > h.Protocol {
			what, step = "too new", "install version %.60s here again, and start it; pantheon upgrade goes by the versions in between"
		}
		return problem.New(problem.Unsupported, "cannot take part in the cell: pantheon %.60s is %s, it speaks protocol %d, and machine %s %d (pantheon %.60s)",
			versionText(), what, own, h.Name, h.Protocol, h.Version).WithHint(step, h.Version)
	}
	return nil
}

// takePart lets this machine take part, or says why it may not.
func (p *platform) takePart(ctx context.Context) error {
	if p.cell == nil {
		return nil
	}
	if err := checkProtocol(cellProtocol, p.host.ID, p.inventory.Snapshot().Hosts()); err != nil {
		return p.refuse(ctx, err)
	}
	if p.cell.known().Protocol != cellProtocol {
		if err := p.cell.change(func(s *cellSettings) { s.Protocol = cellProtocol }); err != nil {
			return err
		}
	}
	p.admit()
	return nil
}

// refuse tells the control machines why this one ends.
func (p *platform) refuse(ctx context.Context, reason error) error {
	p.refused.Store(true)
	text, err := json.Marshal(vitals{Boot: p.startID(), Refused: reason.Error()})
	if err == nil {
		err = p.log.Conn().Publish(vitalsSubject+string(p.host.ID), text)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
		defer cancel()
		err = p.log.Conn().FlushWithContext(ctx)
	}
	if err != nil {
		p.options.logger.Warn("cannot tell the control machines why this one takes no part", "error", err)
	}
	return reason
}

// noteRefusal keeps in the log why a machine takes no part. Every control machine
// that hears of it does, and once is enough: the one that leads may be the one that
// was refused.
func (p *platform) noteRefusal(ctx context.Context, id events.HostID, reason string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := (leaseReports{p}).report(ctx, id, host.ReportRefused{Reason: reason}); err != nil && ctx.Err() == nil {
		p.options.logger.Warn("cannot note why a machine takes no part", "machine", id, "error", err)
	}
}

// keepLease keeps this machine's lease. Of a binary that speaks what the one before
// did not, it waits until that is known to be right.
func (p *platform) keepLease(ctx context.Context) error {
	if p.cell.known().Protocol != cellProtocol {
		select {
		case <-p.admitted.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.cell.keeper.Run(ctx)
}

// softwarePause is between two looks at what is installed.
const softwarePause = 30 * time.Second

// noteProtocol ends the platform of a machine that the others have left behind.
func (p *platform) noteProtocol(ctx context.Context) error {
	select {
	case <-p.admitted.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.eachChange(ctx, controlPause, func(state inventory.State) error {
		if err := checkProtocol(cellProtocol, p.host.ID, state.Hosts()); err != nil {
			return p.refuse(ctx, err)
		}
		return nil
	})
}

// noteSoftware tells what has been installed since the start.
func (p *platform) noteSoftware(ctx context.Context) error {
	ticker := time.NewTicker(softwarePause)
	defer ticker.Stop()
	told := ownSoftware()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := ownSoftware()
		if slices.Equal(now.PHP, told.PHP) {
			continue
		}
		if err := p.command(ctx, "software/"+randomID(), p.host.ID.Stream(), now); err != nil {
			p.options.logger.Warn("cannot tell what is installed here; trying again", "error", err)
			continue
		}
		told = now
	}
}
