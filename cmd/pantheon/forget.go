package main

import (
	"context"
	"fmt"

	"pantheon/actors"
	"pantheon/actors/account"
	"pantheon/actors/binding"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/eventlog/sealed"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/runtime/keys"
)

// sealingKeys gives what the keys of sites and accounts derive for the log.
type sealingKeys struct{ ring *keys.Ring }

// sealedTexts is the purpose for which these keys are derived.
const sealedTexts = "log-texts"

func (k sealingKeys) Key(owner events.Owner, create bool) (string, error) {
	var key keys.Key
	var err error
	switch {
	case owner.Site != "" && create:
		key, err = k.ring.Site(owner.Site)
	case owner.Site != "":
		key, err = k.ring.FindSite(owner.Site)
	case create:
		key, err = k.ring.Account(owner.Account)
	default:
		key, err = k.ring.FindAccount(owner.Account)
	}
	if err != nil {
		return "", err
	}
	return key.Derive(sealedTexts, "", 1), nil
}

func (k sealingKeys) Destroy(owner events.Owner) error {
	if owner.Site != "" {
		return k.ring.Destroy(owner.Site)
	}
	return k.ring.DestroyAccount(owner.Account)
}

// openingCommander carries out what policies want. They read the log as it
// stands; actors read it in clear, and so must be what they are told.
type openingCommander struct {
	actors.Commander
	box *sealed.Box
}

func (c openingCommander) Do(ctx context.Context, meta events.Meta, to events.StreamID, command any) (events.Receipt, error) {
	return c.Commander.Do(ctx, meta, to, c.opened(command))
}

// opened opens the texts that policies pass on. A host's actor takes them as
// they are (package sealed).
func (c openingCommander) opened(command any) any {
	switch wish := command.(type) {
	case site.Create:
		wish.Label, wish.Source = c.box.Open(wish.Label), openSource(wish.Source, c.box.Open)
		return wish
	case binding.Request:
		wish.Spec.Source = openSource(wish.Spec.Source, c.box.Open)
		return wish
	case workflow.FailStep: // a text of the platform, with a reason in it
		wish.Reason = events.ReplaceSealed(wish.Reason, c.box.Open)
		return wish
	}
	return command
}

func openSource(source events.CodeSource, open func(string) string) events.CodeSource {
	return events.CodeSource{Location: open(source.Location), Branch: open(source.Branch)}
}

// forgetter destroys keys whose forgetting is in the log, and reports it.
type forgetter struct {
	box       *sealed.Box
	commander actors.Commander
	inventory *projections.View[inventory.State]
	host      events.HostID
}

// forget gives the position of the report, or up to which there is none to
// make. It may be called again.
func (f forgetter) forget(ctx context.Context, owner events.Owner) (events.Position, error) {
	if err := f.box.Forget(owner); err != nil {
		return 0, err
	}
	to, command := owner.Site.Stream(), any(site.ReportForgotten{})
	if owner.Account != "" {
		to, command = owner.Account.Stream(), account.ReportForgotten{}
	}
	receipt, err := f.commander.Do(ctx, events.Meta{
		Command: events.CommandID("forgotten:" + to.String()), Principal: f.host.Stream().String(), Gateway: "keys",
	}, to, command)
	if err != nil {
		return 0, err
	}
	return receipt.Tip.Position, f.inventory.Wait(ctx, receipt.Tip.Position)
}

// finish does what a platform that ended in the middle has left. What is asked
// for later is done by who asks.
func (f forgetter) finish(ctx context.Context) error {
	for owner := range f.inventory.Snapshot().Forgetting() {
		if _, err := f.forget(ctx, owner); err != nil {
			return problem.Wrap(problem.KindOf(err), err, "cannot finish forgetting %s%s", owner.Site, owner.Account)
		}
	}
	return nil
}

func (p *platform) forgetter() forgetter {
	return forgetter{p.box, p.system, p.inventory, p.host.ID}
}

func (p *platform) openKeys(ctx context.Context) error {
	var err error
	if p.cell != nil && p.control() {
		err = p.patiently(ctx, p.openSharedKeys)
	} else {
		p.ring, err = keys.Open(p.path("keys", "sites"))
	}
	if err != nil {
		return fmt.Errorf("cannot open the keys: %w", err)
	}
	p.box = sealed.NewBox(sealingKeys{p.ring})
	if !p.control() {
		p.borrower = keys.NewBorrower(p.ring, p.fetchKey)
		p.box = sealed.NewBox(borrowedSealingKeys{p.borrower})
	}
	return nil
}
