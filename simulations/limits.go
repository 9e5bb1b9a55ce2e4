package simulations

import "time"

// Bounds of a simulated cell.
const (
	// MaxHosts, MaxSites and MaxDays bound a run: a thousand machines and a
	// hundred thousand sites are what a cell is designed for.
	MaxHosts = 1000
	MaxSites = 100_000
	MaxDays  = 3660
	// ThinSites is how many sites are simulated visit by visit, and created
	// command by command.
	ThinSites = 5000
	// thinNames: of so many sites of a large cell the names of one are followed.
	thinNames = 8
	// foundingPerSite is how many commits found a site, about; commitsPerSite how
	// many its day brings. Room is made for them at once.
	foundingPerSite, commitsPerSite = 8, 4
	// MaxPastCommits bounds the log that a run may begin with: about 1 KiB of
	// memory for each.
	MaxPastCommits = 4_000_000
	// MaxVisitsPerSiteHour bounds what may be asked for.
	MaxVisitsPerSiteHour = 1e6
	// maxParts of a cell that has faults drawn, nodes and routers each; a calm one
	// has calmParts.
	maxParts  = 3
	calmParts = 2
	// MaxScenarioBytes and MaxScenarioSteps bound a scenario's text.
	MaxScenarioBytes = 64 << 10
	MaxScenarioSteps = 1000
	// tailLines of the trace are shown with a violation.
	tailLines = 40
	// repeatedSteps are run once more to see that the seed decides: some tenths
	// of a second.
	repeatedSteps = 20_000
	// samples of the plots in a report.
	samples = 400
)

// Bounds that a healthy cell keeps.
const (
	// LivenessBound is how long after healing everything must be as it was
	// asked for. The slowest way there: a lease, a reboot, a back-off of
	// 30 seconds at the agent and of 10 at the policies, and the reconciliation
	// of all that a host holds, eight at a time.
	LivenessBound = 30 * time.Minute
	// calmAfter convergence visitors are watched for this long, and every
	// request has to be served.
	calmAfter = 5 * time.Minute
	// lease is how long a host is believed alive without a sign of it, and
	// renewEvery how often it gives one.
	lease      = 10 * time.Second
	renewEvery = 2 * time.Second
	// fenceMargin is how much earlier than the keeper a host itself considers
	// its lease over: what clocks may differ in rate within a lease.
	fenceMargin = time.Second
	// maxClockDrift is how much faster or slower than another a machine's clock
	// may run: fenceMargin of a lease, less what a renewal takes.
	maxClockDrift = 0.05
	// switchedOn is when every machine has been switched on, after the beginning.
	switchedOn = 30 * time.Second
	// ReadyBound is how long an environment with traffic may be without a ready
	// DROP while nothing fails: a reboot, and the retries of agents and policies,
	// which wait 30 seconds at most.
	ReadyBound = 5 * time.Minute
	// ServeBound is how long after its dismissal a DROP may still be served:
	// the machine follows its stream, or its lease runs out.
	ServeBound = lease + 5*time.Second
	// RouteBound is how long a Styx that is connected to the log may go on
	// naming a lost host.
	RouteBound = 5 * time.Second
)

// Times of the modelled parts, as in production.
const (
	// callTimeout is how long the sender of a command waits.
	callTimeout = 20 * time.Second
	// logTimeout is actors.DefaultLogTimeout.
	logTimeout = 15 * time.Second
	// retryResolution is that of actors.Reactor: how often delays are looked at,
	// at most.
	retryResolution = 50 * time.Millisecond
	// mailboxCommands is actors.DefaultMailboxCommands.
	mailboxCommands = 256
	// agentFirst, agentLast, agentEarly and agentWorkers are the agent's
	// retryFirst, retryLast, retryEarly and maxReconciling.
	agentFirst   = time.Second
	agentLast    = 30 * time.Second
	agentEarly   = 5 * time.Millisecond
	agentWorkers = 8
	// requestLimit is Styx's time for all attempts of a request, connectLimit
	// that for reaching a host.
	requestLimit = 120 * time.Second
	// connectionSilence is when a connection is given up whose other end says
	// nothing (package mesh).
	connectionSilence = time.Second
	connectLimit      = 3 * time.Second
	// holdLimit is how long a request may be held for a start: a stop with its
	// grace, the wait for memory, and a start.
	holdLimit = 60 * time.Second
	// hungRequest is when php-fpm ends a worker: requestSeconds and
	// requestGrace of runtime/drop.
	hungRequest = 130 * time.Second
	// backlog of one DROP's php-fpm.
	backlog = 511
	// readTimeout is when an agent asks for its host's stream again: two clogged
	// messages take six seconds.
	readTimeout = 7 * time.Second
	// followRetry is how soon a reader that lost the log asks again.
	followRetry = 500 * time.Millisecond
	// drainLimit is when a machine that is being drained is switched off although
	// it still holds something.
	drainLimit = 30 * time.Minute
	// syncWithin is how long Linux may keep a write in memory
	// (dirty_expire_centisecs and dirty_writeback_centisecs).
	syncWithin = 35 * time.Second
)
