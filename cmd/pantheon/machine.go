package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/runtime/agent"
	"pantheon/runtime/code"
	phpfpm "pantheon/runtime/drop"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/files"
	"pantheon/runtime/files/remote"
	"pantheon/runtime/sandbox"
	"pantheon/runtime/service/mariadb"
)

// machine is what this machine offers, put together.
type machine struct {
	agent    *agent.Agent
	sandbox  *sandbox.Machine
	code     *code.Store
	files    *files.Store
	database *mariadb.Server
}

func (p *platform) openMachine(context.Context) error {
	m := &machine{}
	p.machine = m
	var err error
	if m.sandbox, err = sandbox.Open(sandbox.Options{Parent: "pantheon/" + string(p.host.ID), Bare: p.options.bare}); err != nil {
		return err
	}
	p.onClose(m.sandbox.Close)
	stored := code.Options{Dir: p.path("code")}
	if p.cell != nil {
		stored.Releases = newReleases(p.log)
	}
	if m.code, err = code.Open(stored); err != nil {
		return err
	}
	if m.files, err = files.Open(p.path("files")); err != nil {
		return err
	}
	m.database = mariadb.New(mariadb.Options{Dir: p.path("services", "mariadb"), Log: p.options.logger})
	options := agent.Options{
		Host: p.host.ID, Dir: p.path("hosts", string(p.host.ID)), MemoryMiB: p.options.memoryMiB,
		Stream: hostStream{p.log, p.host.ID}, Report: reports{p.commander}.report,
		Machine: m.sandbox, Code: m.code, Files: m.files, Database: m.database, Keys: p.ring, Open: p.box.Open,
		Certifier: bindingCertifier{p}, Logger: p.options.logger,
	}
	if p.borrower != nil {
		options.Keys = p.borrower
	}
	if p.cell != nil {
		options.Lease, options.Head, options.Remote = cellLease{p}, p.streamHead, otherHosts{p}
		if err := remote.Supported(); err == nil {
			options.Mounts = p.mounts
		} else {
			p.options.logger.Warn("DROPs whose files are on other machines cannot run here", "reason", err)
		}
		p.onClose(p.mounts.Close)
	}
	m.agent = agent.New(options)
	return nil
}

func (m *machine) isolated() bool { return m.sandbox.Isolated() }

// run runs the agent and keeps the database server up.
func (m *machine) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.agent.Run(ctx) })
	group.Go(func() error {
		if err := m.database.Run(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot keep MariaDB up: %w", err)
		}
		return nil
	})
	return group.Wait()
}

// checkPHP refuses a version that this machine does not have. Other machines of a
// cell may have others.
func checkPHP(version string) error {
	_, err := phpfpm.FindPHP(version)
	if problem.KindOf(err) == problem.Unavailable {
		return problem.Wrap(problem.Conflict, err, "cannot run sites with PHP %s here", version).WithHint("%s", problem.HintOf(err))
	}
	return err
}

// stopAllTimeout bounds each half of the end of what runs on this machine: it
// is more than a DROP gets for the requests under way.
const stopAllTimeout = 45 * time.Second

// sleepAll puts every DROP to sleep, while the agent runs.
func (m *machine) sleepAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopAllTimeout)
	defer cancel()
	return m.agent.SleepAll(ctx)
}

// stopServices ends what DROPs need, when they sleep and the agent has ended.
func (m *machine) stopServices() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopAllTimeout)
	defer cancel()
	return errors.Join(m.database.Stop(ctx), m.sandbox.Close())
}

// hostStream reads one stream of the log and follows it.
type hostStream struct {
	log  cellLog
	host events.HostID
}

func (s hostStream) Read(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error] {
	return s.log.Stream(ctx, s.host.Stream(), after)
}

func (s hostStream) Follow(ctx context.Context, after events.Revision) iter.Seq2[events.Envelope, error] {
	return s.log.Follow(ctx, s.host.Stream(), after)
}

// streamHead gives the newest revision of this host's stream, as the leader of
// the log has it.
func (p *platform) streamHead(ctx context.Context) (events.Revision, error) {
	newest := p.machine.agent.Folded()
	for envelope, err := range p.log.Stream(ctx, p.host.ID.Stream(), newest) {
		if err != nil {
			return 0, err
		}
		newest = envelope.Revision
	}
	return newest, nil
}

// reports turns the agent's facts into commands of the actors they are about.
type reports struct {
	commander actors.Commander
}

func (r reports) report(ctx context.Context, meta events.Meta, to events.StreamID, fact events.Event) error {
	command, err := reportCommand(fact)
	if err != nil {
		return err
	}
	_, err = r.commander.Do(ctx, meta, to, command)
	return err
}

func reportCommand(fact events.Event) (any, error) {
	switch f := fact.(type) {
	case events.DropReady:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.DropPrepareFailed:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.DropAwoke:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.DropSlept:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.DropCrashed:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.DropStartFailed:
		return drop.Report{Host: f.Host, Fact: f}, nil
	case events.BindingProvisioned:
		return binding.Report{Host: f.Host, Fact: f}, nil
	case events.BindingFailed:
		return binding.Report{Host: f.Host, Fact: f}, nil
	case events.BindingRetired:
		return binding.Report{Host: f.Host, Fact: f}, nil
	}
	return nil, problem.New(problem.Invalid, "internal error: %s is no fact that an agent reports", events.NameOf(fact))
}

// variables answers the API's question for what an environment's PHP sees.
type variables struct{ *platform }

func (v variables) Variables(ctx context.Context, environment events.EnvironmentID) (map[string]string, error) {
	drops := v.inventory.Snapshot().Drops(environment)
	if len(drops) == 0 {
		return nil, problem.New(problem.Conflict, "environment %s is not initialised", environment)
	}
	spec, secrets, err := v.machine.agent.Secrets(drops[0].ID)
	if problem.KindOf(err) == problem.Unavailable { // another host's
		if spec, err = v.reactor.Spec(ctx, drops[0].ID); err == nil {
			secrets, err = v.machine.agent.SecretsOf(drops[0].ID, spec)
		}
	}
	if err != nil {
		return nil, err
	}
	answer := map[string]string{}
	for _, variable := range contract.Environment(contract.Site{
		Drop: drops[0].ID, Spec: spec, Layout: contract.Sandboxed(drops[0].ID), Secrets: secrets,
	}) {
		switch variable.Name {
		case "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "CACHE_HOST", "CACHE_PORT", "CACHE_PASSWORD":
			answer[variable.Name] = variable.Value
		}
	}
	return answer, nil
}

// codeLog answers the API's question for commits, which the host of the code
// knows.
type codeLog struct{ *platform }

func (l codeLog) CodeLog(ctx context.Context, site events.SiteID, limit int) ([]api.CodeCommit, error) {
	for _, bound := range l.inventory.Snapshot().SiteBindings(site) {
		if bound.Kind == events.CodeServer && bound.Host != "" && bound.Host != l.host.ID && l.cell != nil {
			return l.codeLogAt(ctx, bound.Host, codeLogRequest{site, limit})
		}
	}
	return l.codeLogHere(ctx, site, limit)
}

func (p *platform) codeLogHere(ctx context.Context, site events.SiteID, limit int) ([]api.CodeCommit, error) {
	commits, err := p.machine.code.Log(ctx, site, "master", limit)
	if err != nil {
		return nil, err
	}
	answer := make([]api.CodeCommit, 0, len(commits))
	for _, c := range commits {
		answer = append(answer, api.CodeCommit{
			Hash: c.ID, Author: c.Author, Email: c.Email, DateTime: c.Time, Message: c.Message,
			Labels: []string{}, Parents: c.Parents,
		})
	}
	return answer, nil
}

// policySnapshots keeps the policies' fold beside the views.
type policySnapshots struct{ store projections.Store }

const policySnapshotName = "policies"

func (s policySnapshots) Load(ctx context.Context) (actors.Snapshot, error) {
	var snapshot actors.Snapshot
	err := s.store.Load(ctx, policySnapshotName, func(header projections.Header, records iter.Seq2[[]byte, error]) error {
		snapshot.Version, snapshot.Position = header.Version, header.Position
		var err error
		if snapshot.Hash, err = events.ParseHash(header.Hash); err != nil {
			return err
		}
		for record, err := range records {
			if err != nil {
				return err
			}
			snapshot.State = append(snapshot.State, record...)
		}
		return nil
	})
	if errors.Is(err, projections.ErrNoSnapshot) {
		return actors.Snapshot{}, nil
	}
	return snapshot, err
}

func (s policySnapshots) Save(ctx context.Context, snapshot actors.Snapshot) error {
	header := projections.Header{
		Name: policySnapshotName, Version: snapshot.Version, Position: snapshot.Position, Hash: snapshot.Hash.String(),
	}
	return s.store.Save(ctx, header, func(yield func([]byte, error) bool) {
		for rest := snapshot.State; len(rest) > 0; {
			n := min(len(rest), snapshotRecordBytes)
			if !yield(rest[:n], nil) {
				return
			}
			rest = rest[n:]
		}
	})
}

// snapshotRecordBytes is how much of the policies' fold one record holds.
const snapshotRecordBytes = 1 << 20
