package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/problem"
)

// # From three machines to five, and back
//
// The log stays what and where it is. Widen waits until the new machines'
// members are of the cluster, then has the streams replicated to them: the server
// takes one further machine into a stream's group after the other, and a majority
// of the group has every commit all along. Narrow takes the machines that leave
// out of the cluster, one after the other, each time until no group of machines
// counts on them, and waits until what they had is complete on others. Both can be
// called again after a crash. Commits go on meanwhile, but for elections.

// Widen spreads the log and the buckets beside it over more machines, whose
// members run: as many as the cluster has then.
func Widen(ctx context.Context, member *Member, machines int) error {
	return resize(ctx, member, machines, nil)
}

// Narrow has fewer machines hold the log: those that are named leave. Their
// members may run, or be lost; they are closed afterwards, and their folders are
// of no use.
func Narrow(ctx context.Context, member *Member, machines int, leaving []string) error {
	if slices.Contains(leaving, member.options.Cluster.Host) {
		return problem.New(problem.Invalid, "cannot take this machine out of those that hold the log: the others are asked for that")
	}
	return resize(ctx, member, machines, leaving)
}

func resize(ctx context.Context, member *Member, machines int, leaving []string) error {
	if err := CheckSize(machines); err != nil {
		return err
	}
	g, err := newMoving(ctx, member)
	if err != nil {
		return err
	}
	defer g.client.Close() //nolint:errcheck // it cannot fail
	info, err := g.client.info(ctx)
	if err != nil {
		return cannotMove(err)
	}
	if info.Config.Metadata[stateKey] != stateComplete {
		return problem.New(problem.Conflict, "cannot change how many machines hold the log: it is being moved").
			WithHint("pantheon cell info shows who has it; the same command goes on when that is done")
	}
	// The log comes last: a bucket is never held by more machines than it.
	if err := g.replicate(ctx, machines); err != nil {
		return err
	}
	if len(leaving) == 0 {
		return g.complete(ctx, machines, nil)
	}
	// The server takes one that is lost out of the groups when it is of the cluster
	// no more, and waits for it until then.
	system, err := member.wire.connectAs(systemUser)
	if err != nil {
		return err
	}
	defer system.Close()
	for i, name := range leaving {
		if err := g.expel(ctx, system, name); err != nil {
			return err
		}
		if err := g.complete(ctx, 0, leaving[:i+1]); err != nil {
			return err
		}
	}
	return g.complete(ctx, machines, leaving)
}

// replicate gives every stream its replicas.
func (g *moving) replicate(ctx context.Context, machines int) error {
	var names []string
	err := g.client.persist(ctx, resizeTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		names = nil
		lister := g.js.StreamNames(asking)
		for name := range lister.Name() {
			names = append(names, name)
		}
		return lister.Err() == nil, lister.Err()
	})
	if err != nil {
		return cannotMove(err)
	}
	slices.SortFunc(names, func(a, b string) int { return boolean(a == streamName) - boolean(b == streamName) })
	for _, name := range names {
		err := g.client.persist(ctx, resizeTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
			asking, cancel := within(ctx, limit)
			defer cancel()
			stream, err := g.js.Stream(asking, name)
			if err != nil {
				return false, err
			}
			config := stream.CachedInfo().Config
			if config.Replicas == machines {
				return true, nil
			}
			config.Replicas = machines
			_, err = g.js.UpdateStream(asking, config)
			return err == nil, err
		})
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot have %d machines hold %s", machines, name).
				WithHint("all of them must run now, and reach one another; the same command goes on then")
		}
	}
	return nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// complete waits until so many machines, none of them without, have the log and
// the buckets; how many does not matter where it is 0.
func (g *moving) complete(ctx context.Context, machines int, without []string) error {
	err := g.client.persist(ctx, resizeTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		lister := g.js.ListStreams(asking)
		for info := range lister.Info() {
			if err := whole(info, machines, without); err != nil {
				return false, err
			}
		}
		return lister.Err() == nil, lister.Err()
	})
	if err != nil {
		return cannotMove(err)
	}
	return nil
}

func whole(info *jetstream.StreamInfo, machines int, without []string) error {
	if info.Cluster == nil || info.Cluster.Leader == "" || slices.Contains(without, info.Cluster.Leader) ||
		machines > 0 && len(info.Cluster.Replicas) != machines-1 {
		return fmt.Errorf("%s is not held by %d machines yet", info.Config.Name, machines)
	}
	for _, replica := range info.Cluster.Replicas {
		if machines > 0 && (!replica.Current || replica.Offline || replica.Lag > 0) || slices.Contains(without, replica.Name) {
			return fmt.Errorf("%s has not got all of %s, or is still to give it up", replica.Name, info.Config.Name)
		}
	}
	return nil
}

// expel takes a machine out of those that the cluster counts.
func (g *moving) expel(ctx context.Context, system *nats.Conn, name string) error {
	asked, err := json.Marshal(map[string]string{"peer": name})
	if err != nil {
		return err
	}
	err = g.client.persist(ctx, resizeTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		message, err := system.RequestWithContext(asking, "$JS.API.SERVER.REMOVE", asked)
		if err != nil {
			return false, err
		}
		var answer struct {
			Error *apiError `json:"error"`
		}
		if err := json.Unmarshal(message.Data, &answer); err != nil {
			return false, err
		}
		if answer.Error != nil && answer.Error.ErrCode != notAMember {
			return false, answer.Error
		}
		return true, nil
	})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot take machine %s out of those that hold the log", name)
	}
	return nil
}

// notAMember is nats-server's JSClusterServerNotMemberErr.
const notAMember = 10044

// systemUser is who asks the server about itself, within this process only.
const systemUser = "system"
