package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Grow moves the log in dir, which nobody has open, to the cluster of a member:
// every commit to the position it had, read back and compared before the copy
// becomes the log. When it fails half-way, or the machine dies, the same call
// goes on; until the copy is the log the folder is it.
//
// A server's own streams do not survive its becoming a member: what the
// cluster's members have not agreed on is removed as an orphan. That is why the
// log is copied, and the member has a folder of its own.
func Grow(ctx context.Context, dir string, to *Member) error {
	cluster := to.options.Cluster
	if len(cluster.Peers) == 0 {
		return problem.New(problem.Invalid, "cannot spread the log over one machine: it is there already").
			WithHint("three machines are the fewest of which one may die")
	}
	before, err := readMove(dir)
	if err != nil || before.Phase == phaseMoved {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	v, err := verify(ctx, dir, false, nil)
	if err != nil {
		return err
	}
	g, err := newMoving(ctx, to)
	if err != nil {
		return err
	}
	defer g.client.Close() //nolint:errcheck // it cannot fail
	if err := g.into(ctx, dir, v, len(cluster.Peers)+1); err != nil {
		return err
	}
	if err := writeMove(dir, move{phaseMoved, cluster.Name}); err != nil {
		return cannotMove(err)
	}
	// Nothing of the copy that is the log no more stays to be mistaken for it.
	return errors.Join(os.RemoveAll(storeDir(dir)), os.RemoveAll(checkpointPath(dir)))
}

func cannotMove(reason error) error {
	if kind := problem.KindOf(reason); kind != problem.Internal {
		return reason
	}
	return problem.Wrap(problem.Unavailable, reason, "cannot move the log").
		WithHint("nothing is lost; when the cause is gone, the same command goes on")
}

// moving is one move to or from a cluster.
type moving struct {
	client *Client
	js     jetstream.JetStream
}

// newMoving waits until the cluster has a leader.
func newMoving(ctx context.Context, member *Member) (*moving, error) {
	client := bareClient(member.conn, member.options.Logger)
	js, err := jetstream.New(member.conn, jetstream.WithDefaultTimeout(readTimeout), jetstream.WithPublishAsyncMaxPending(restorePending),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) {}))
	if err != nil {
		return nil, cannotMove(err)
	}
	g := &moving{client, js}
	err = client.persist(ctx, dialTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		_, err := js.Stream(asking, streamName)
		return err == nil || errors.Is(err, jetstream.ErrStreamNotFound), err
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		_ = client.Close()
		return nil, notConnected(err)
	}
	return g, nil
}

// clusterConfig is the stream of a cluster.
func clusterConfig(replicas int, state string, digest digest) jetstream.StreamConfig {
	config := streamConfig()
	config.Replicas, config.RePublish = replicas, republished()
	config.Metadata = map[string]string{stateKey: state, digestKey: digest.String()}
	return config
}

// into makes the cluster's stream the log that was verified.
func (g *moving) into(ctx context.Context, dir string, v *verification, replicas int) error {
	done, err := g.begin(ctx, v, replicas)
	if err != nil || done {
		return err
	}
	if err := g.copy(ctx, v.index); err != nil {
		return err
	}
	if err := g.compare(ctx, v); err != nil {
		return err
	}
	if err := g.replicated(ctx); err != nil {
		return err
	}
	if err := writeMove(dir, move{phaseCommitting, g.client.conn.ConnectedClusterName()}); err != nil {
		return cannotMove(err)
	}
	return g.configure(ctx, clusterConfig(replicas, stateComplete, v.digest))
}

// begin makes the stream anew; true when an earlier move had come to its end.
func (g *moving) begin(ctx context.Context, v *verification, replicas int) (done bool, err error) {
	info, err := g.client.info(ctx)
	var gone *apiError
	switch {
	case err == nil && info.Config.Metadata[stateKey] == stateCopying:
		if err := g.js.DeleteStream(ctx, streamName); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, cannotMove(err)
		}
	case err == nil && info.Config.Metadata[digestKey] == v.digest.String() && info.Config.Metadata[stateKey] == stateComplete:
		return true, nil
	case err == nil:
		return false, problem.New(problem.Conflict, "cannot move the log: the cluster holds another one already, it ends at position %d", info.State.Last)
	case !errors.As(err, &gone) || gone.ErrCode != jetstream.JSErrCodeStreamNotFound:
		return false, cannotMove(err)
	}
	_, err = g.js.CreateStream(ctx, clusterConfig(replicas, stateCopying, v.digest))
	if err != nil {
		return false, problem.Wrap(problem.Unavailable, err, "cannot spread the log over %d machines", replicas).
			WithHint("all of them must run now, and reach one another")
	}
	return false, nil
}

// copy writes every commit to its position. The server checks that nothing is
// left out, also while many are on their way; after an election it is asked
// where to go on.
func (g *moving) copy(ctx context.Context, from *index) error {
	for stuck := 0; ; {
		info, err := g.client.info(ctx)
		if err != nil {
			return cannotMove(err)
		}
		begin := info.State.Last
		if begin == from.last {
			return nil
		}
		if err := g.copyFrom(ctx, from, begin); err != nil {
			return err
		}
		if info, err = g.client.info(ctx); err != nil {
			return cannotMove(err)
		}
		if stuck++; info.State.Last > begin {
			stuck = 0
		}
		if stuck == copyAttempts {
			return cannotMove(fmt.Errorf("the cluster takes no commit behind position %d", begin))
		}
	}
}

func (g *moving) copyFrom(ctx context.Context, from *index, begin uint64) error {
	for r, err := range from.records(begin, from.last) {
		if err == nil {
			err = ctx.Err()
		}
		var previous uint64
		if err == nil {
			previous, err = r.previous()
		}
		if err != nil {
			return err
		}
		message := nats.NewMsg(string(r.subject))
		message.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(previous, 10)}
		message.Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(r.position-1, 10)}
		message.Data = append([]byte(nil), r.message...)
		if _, err := g.js.PublishMsgAsync(message, jetstream.WithStallWait(appendTimeout)); err != nil {
			break // the caller looks how far it came
		}
	}
	select {
	case <-g.js.PublishAsyncComplete():
	case <-time.After(appendTimeout):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// compare reads the copy back.
func (g *moving) compare(ctx context.Context, v *verification) error {
	digest, err := g.digestUpTo(ctx, v.index.last, func(eventlog.Entry) error { return nil })
	if err != nil {
		return err
	}
	if digest != v.digest {
		return broken(v.index.last, "the cluster's copy is not what was written")
	}
	return nil
}

// digestUpTo reads the cluster's stream, checks its chains and gives its digest.
func (g *moving) digestUpTo(ctx context.Context, last uint64, see func(eventlog.Entry) error) (digest, error) {
	checker := chain.NewChecker()
	var sum digest
	var failed error
	err := g.client.entries(ctx, 0, last, func(entry eventlog.Entry) bool {
		link, _, err := chain.Read(entry)
		if err == nil {
			_, err = checker.Add(link)
		}
		if err == nil {
			sum, err = sum.next(link.Hash), see(entry)
		}
		failed = err
		return err == nil
	})
	return sum, errors.Join(failed, err)
}

// replicated waits until every member has every commit.
func (g *moving) replicated(ctx context.Context) error {
	return g.client.persist(ctx, startTimeout, func(ctx context.Context, _ time.Duration) (bool, error) {
		info, err := g.client.info(ctx)
		if err != nil || info.Cluster == nil {
			return false, err
		}
		for _, replica := range info.Cluster.Replicas {
			if !replica.Current || replica.Offline || replica.Lag > 0 {
				return false, fmt.Errorf("%s has not got all of it", replica.Name)
			}
		}
		return true, nil
	})
}

// configure changes the stream's description and makes sure that it was.
func (g *moving) configure(ctx context.Context, config jetstream.StreamConfig) error {
	err := g.client.persist(ctx, readTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		_, err := g.js.UpdateStream(asking, config)
		return err == nil, err
	})
	if err != nil {
		return cannotMove(err)
	}
	return nil
}

// frozenSubject takes the place of the log's subjects while it moves out.
const frozenSubject = "frozen." + streamName

// Shrink moves the cluster's log back to one machine, into dir, where a member
// of it runs. Commits are refused from its beginning on. When it fails
// half-way, or the machine dies, the same call goes on, and Thaw gives up; until
// the folder is the log the cluster is it. Afterwards the members are closed and
// their folders are of no use.
func Shrink(ctx context.Context, dir string, from *Member) error {
	before, err := readMove(dir)
	if err != nil {
		return err
	}
	if before.Phase == "" {
		// The folder of a machine that joined later is none yet; it becomes the
		// log by this file's end.
		if err := emptyLog(ctx, dir); err != nil {
			return err
		}
	}
	if err := writeMove(dir, move{phaseMoved, from.options.Cluster.Name}); err != nil {
		return cannotMove(err)
	}
	g, err := newMoving(ctx, from)
	if err != nil {
		return err
	}
	defer g.client.Close() //nolint:errcheck // it cannot fail
	last, err := g.freeze(ctx)
	if err != nil {
		return err
	}
	sum, err := g.outOf(ctx, dir, last, from.options)
	if err != nil {
		return err
	}
	info, err := g.client.info(ctx)
	if err != nil {
		return cannotMove(err)
	}
	if info.State.Last != last {
		return problem.New(problem.Unavailable, "cannot move the log: it has grown from position %d to %d meanwhile", last, info.State.Last).
			WithHint("the same command begins anew")
	}
	config := frozenConfig(info)
	config.Metadata[digestKey] = sum.String()
	if err := g.configure(ctx, config); err != nil {
		return err
	}
	if err := removeMove(dir); err != nil {
		return cannotMove(err)
	}
	return nil
}

func frozenConfig(info *streamInfo) jetstream.StreamConfig {
	config := clusterConfig(info.Config.Replicas, stateMoving, digest{})
	maps.Copy(config.Metadata, map[string]string{digestKey: info.Config.Metadata[digestKey]})
	config.Subjects = []string{frozenSubject}
	return config
}

// freeze takes the subjects away, so that no member and no client can add
// anything, and gives the last position when all that was on its way has
// arrived: the leader handles messages in order, and refuses the last one with
// the number of those before it.
func (g *moving) freeze(ctx context.Context) (uint64, error) {
	info, err := g.client.info(ctx)
	if err != nil {
		return 0, cannotMove(err)
	}
	if info.Config.Metadata[stateKey] == stateCopying {
		return 0, problem.New(problem.Conflict, "cannot move the log: the cluster's copy is not complete")
	}
	if err := g.configure(ctx, frozenConfig(info)); err != nil {
		return 0, err
	}
	var last uint64
	err = g.client.persist(ctx, readTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		message := nats.NewMsg(frozenSubject)
		message.Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(1<<62, 10)}
		_, err := g.js.PublishMsg(asking, message, jetstream.WithRetryAttempts(0))
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != wrongLastSequence {
			return false, err
		}
		text := refused.Description[strings.LastIndexByte(refused.Description, ' ')+1:]
		if last, err = strconv.ParseUint(text, 10, 64); err != nil {
			return true, err
		}
		info, err := g.client.info(ctx)
		if err == nil && info.State.Last != last {
			err = fmt.Errorf("position %d is on its way, %d is there", last, info.State.Last)
		}
		return err == nil, err
	})
	if err != nil {
		return 0, cannotMove(err)
	}
	return last, nil
}

// outOf makes the folder what the cluster holds.
func (g *moving) outOf(ctx context.Context, dir string, last uint64, options Options) (digest, error) {
	if v, err := verify(ctx, dir, false, nil); err == nil && v.index.last == last && last > 0 {
		sum, err := g.digestUpTo(ctx, last, func(eventlog.Entry) error { return nil })
		if err != nil || sum == v.digest {
			return sum, err // an earlier call had come this far
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+".import")); err != nil {
		return digest{}, cannotMove(err)
	}
	into, err := Restore(ctx, Options{Dir: dir, ReserveBytes: options.ReserveBytes, Logger: options.Logger})
	if err != nil {
		return digest{}, err
	}
	defer into.Close() //nolint:errcheck // Finish tells
	for _, err := range into.Kept(ctx) {
		if err != nil {
			return digest{}, err
		}
	}
	sum, err := g.digestUpTo(ctx, last, func(entry eventlog.Entry) error { return into.Put(ctx, entry) })
	if err != nil {
		return digest{}, err
	}
	return sum, into.Finish(ctx)
}

// Thaw gives up a Shrink that has not come to its end: the cluster takes
// commits again.
func Thaw(ctx context.Context, dir string, member *Member) error {
	before, err := readMove(dir)
	if err != nil {
		return err
	}
	if before.Phase != phaseMoved {
		return problem.New(problem.Conflict, "cannot give up moving the log: the one in %s is the log already", dir)
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
	if info.Config.Metadata[stateKey] != stateMoving {
		return nil
	}
	config := clusterConfig(info.Config.Replicas, stateComplete, digest{})
	config.Metadata[digestKey] = info.Config.Metadata[digestKey]
	return g.configure(ctx, config)
}
