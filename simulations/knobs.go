package simulations

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Knobs are everything about a run that is drawn from its seed. A probability
// or interval of 0 means that this kind of fault is off.
type Knobs struct {
	// The network.
	NetDelay, NetJitter time.Duration
	Loss, Duplicate     float64
	PartitionEvery      time.Duration
	ClogEvery           time.Duration
	// The log.
	LogDelay         time.Duration
	LostAck          float64
	LogOutageEvery   time.Duration
	LogSlowEvery     time.Duration
	LogFailoverEvery time.Duration
	LogFullEvery     time.Duration
	// The control plane.
	Nodes, Reactors int
	StaleOwner      float64 // commands that go to another node than the usual
	NodeCrashEvery  time.Duration
	EvictAfter      time.Duration
	SnapshotEvery   int           // commits after which the policies' fold is saved
	ClockEvery      time.Duration // a node has a wrong time
	// Machines.
	HostMiB           int
	HostCrashEvery    time.Duration
	HostPauseEvery    time.Duration
	HostSlowEvery     time.Duration
	AgentRestartEvery time.Duration
	ProvideFails      float64
	PrepareFails      float64
	ImportFails       float64
	DiskFullEvery     time.Duration
	DiskSlowEvery     time.Duration
	OutOfMemoryEvery  time.Duration
	TornWrite         float64 // of what was written last before the power went
	NewAddress        float64 // of a machine that is switched on again
	ClockDrift        float64 // how much faster or slower machines count time
	// php-fpm.
	DropMiB                           int
	IdleAfter                         time.Duration
	StartFails, StartHangs, StartSlow float64
	CrashEvery                        time.Duration // of one process
	RequestHangs                      float64
	HangEvery                         time.Duration // of half of a machine's DROPs
	// Visitors.
	Routers           int
	RouterCrashEvery  time.Duration
	VisitsPerSiteHour float64
	CrowdEvery        time.Duration
	CrawlEvery        time.Duration
	// Operators.
	ActEvery time.Duration
	Repeats  float64
	TwoDrops float64 // of the sites that are created: one beside its data, one elsewhere
}

// calm gives the knobs of a cell in which nothing fails.
func calm() Knobs {
	return Knobs{
		NetDelay: 200 * time.Microsecond, NetJitter: 100 * time.Microsecond, LogDelay: time.Millisecond,
		Nodes: calmParts, Reactors: 1, EvictAfter: 10 * time.Minute, SnapshotEvery: 20_000,
		HostMiB: 24 << 10, DropMiB: 512, IdleAfter: time.Hour,
		Routers: calmParts, VisitsPerSiteHour: 60, CrowdEvery: 6 * time.Hour, CrawlEvery: 24 * time.Hour, ActEvery: 5 * time.Minute,
	}
}

// drawn gives the knobs of a seed. Each kind of fault is off in about a third
// of all runs, so that bugs which another fault would hide come out.
func drawn(seed uint64, o Options) Knobs {
	c := newChance(seed, "knobs")
	k := calm()
	k.NetDelay = c.spreadTime(50*time.Microsecond, 20*time.Millisecond)
	k.NetJitter = c.spreadTime(10*time.Microsecond, 50*time.Millisecond)
	k.LogDelay = c.spreadTime(200*time.Microsecond, 20*time.Millisecond)
	k.Nodes = 1 + c.IntN(maxParts)
	k.Reactors = 1 + c.IntN(min(2, k.Nodes))
	k.EvictAfter = c.spreadTime(time.Minute, time.Hour)
	k.IdleAfter = c.spreadTime(time.Minute, 2*time.Hour).Round(time.Second)
	k.DropMiB = 128 << c.IntN(4)
	k.Routers = 1 + c.IntN(maxParts)
	k.VisitsPerSiteHour = c.spread(5, 120)
	k.HostMiB = roomFor(c, o, k)

	maybe := func(least, most float64) float64 {
		draw, off := c.spread(least, most), c.IntN(3) == 0
		if off {
			return 0
		}
		return draw
	}
	often := func(least, most time.Duration) time.Duration {
		return time.Duration(maybe(float64(least), float64(most))).Round(time.Second)
	}
	k.Loss, k.Duplicate = maybe(0.0001, 0.02), maybe(0.0001, 0.02)
	k.PartitionEvery, k.ClogEvery = often(5*time.Minute, 6*time.Hour), often(5*time.Minute, 6*time.Hour)
	k.LostAck = maybe(0.0001, 0.02)
	k.LogOutageEvery, k.LogSlowEvery = often(15*time.Minute, 12*time.Hour), often(10*time.Minute, 6*time.Hour)
	k.StaleOwner = maybe(0.001, 0.2)
	k.NodeCrashEvery = often(10*time.Minute, 12*time.Hour)
	k.HostCrashEvery, k.HostPauseEvery = often(10*time.Minute, 12*time.Hour), often(10*time.Minute, 6*time.Hour)
	k.HostSlowEvery, k.AgentRestartEvery = often(10*time.Minute, 6*time.Hour), often(10*time.Minute, 12*time.Hour)
	k.ProvideFails, k.PrepareFails, k.ImportFails = maybe(0.001, 0.1), maybe(0.001, 0.1), maybe(0.001, 0.05)
	k.StartFails, k.StartHangs, k.StartSlow = maybe(0.001, 0.1), maybe(0.001, 0.05), maybe(0.001, 0.2)
	k.CrashEvery = often(time.Hour, 100*time.Hour)
	k.RequestHangs = maybe(0.00001, 0.001)
	k.CrowdEvery, k.CrawlEvery = often(20*time.Minute, 12*time.Hour), often(time.Hour, 24*time.Hour)
	k.ActEvery = often(2*time.Second, 5*time.Minute)
	k.Repeats = maybe(0.01, 0.3)
	k.LogFailoverEvery, k.LogFullEvery = often(10*time.Minute, 6*time.Hour), often(30*time.Minute, 12*time.Hour)
	k.ClockEvery, k.ClockDrift = often(10*time.Minute, 6*time.Hour), maybe(0.0001, maxClockDrift)
	k.DiskFullEvery, k.DiskSlowEvery = often(10*time.Minute, 6*time.Hour), often(10*time.Minute, 6*time.Hour)
	k.OutOfMemoryEvery, k.TornWrite = often(5*time.Minute, 6*time.Hour), maybe(0.05, 1)
	k.NewAddress, k.SnapshotEvery = maybe(0.05, 1), int(c.spread(20, 20_000))
	k.HangEvery, k.RouterCrashEvery = often(20*time.Minute, 6*time.Hour), often(10*time.Minute, 6*time.Hour)
	k.TwoDrops = maybe(0.1, 1)
	return k
}

// large changes what a large cell could not be simulated with in seconds: what
// costs as much as the cell is large comes at most so often.
func (k Knobs) large(o Options) Knobs {
	atLeast := func(every *time.Duration, least time.Duration) {
		if *every > 0 {
			*every = max(*every, least)
		}
	}
	atLeast(&k.NodeCrashEvery, 6*time.Hour)
	atLeast(&k.RouterCrashEvery, time.Hour)
	atLeast(&k.CrawlEvery, 24*time.Hour)
	k.IdleAfter = max(k.IdleAfter, time.Hour)
	k.SnapshotEvery = max(k.SnapshotEvery, 20*o.Sites)
	return k
}

// roomFor draws what a machine offers: enough that three quarters of the
// machines can hold what all ask for, not so much that memory is never short.
func roomFor(c chance, o Options, k Knobs) int {
	perHost := max(o.Sites/max(o.Hosts, 1), 1)
	awake := c.spread(0.3, 3) * float64(perHost*k.DropMiB)
	return max(int(awake), 4*k.DropMiB) + 1024 + perHost*2
}

// String lists every knob by name, the ones that are off too.
func (k Knobs) String() string {
	v := reflect.ValueOf(k)
	var parts []string
	for i := range v.NumField() {
		parts = append(parts, fmt.Sprintf("%s=%v", v.Type().Field(i).Name, printed(v.Field(i).Interface())))
	}
	return strings.Join(parts, " ")
}

func printed(value any) string {
	switch x := value.(type) {
	case float64:
		return fmt.Sprintf("%.4g", x)
	case time.Duration:
		if x == 0 {
			return "off"
		}
		if x > time.Second {
			return x.Round(time.Second).String()
		}
		return x.Round(time.Microsecond).String()
	}
	return fmt.Sprint(value)
}
