package main

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// # What machines ask one another by the log's servers
//
// A machine answers at "cell.<question>.<host>"; question and answer are JSON.
// Every machine of the cell may ask and, as an answer's subject is no secret, may
// listen: secrets go by the mesh.

// question is one that machines ask one another.
type question string

const (
	askPublish question = "publish" // a release of a site's code, into the bucket of releases
	askCodeLog question = "codelog" // the newest commits of a site
	askMember  question = "member"  // hold the log together with others, or no longer
	askRestart question = "restart" // begin anew
	askExplain question = "explain" // why a DROP is where it is, or nowhere
)

func (q question) subject(id events.HostID) string { return "cell." + string(q) + "." + string(id) }

// hostAnswer is an error, or a value.
type hostAnswer struct {
	Kind  string          `json:"kind,omitzero"`
	Error string          `json:"error,omitzero"`
	Hint  string          `json:"hint,omitzero"`
	Value json.RawMessage `json:"value,omitzero"`
}

// answerers at once for each question; further ones are refused as busy.
const answerers = 4

// askHost asks a machine and waits for its answer; value may be nil.
func (p *platform) askHost(ctx context.Context, id events.HostID, what question, asked, value any) error {
	text, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	message, err := p.log.Conn().RequestWithContext(ctx, what.subject(id), text)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot ask machine %s for %s", id, what)
	}
	var got hostAnswer
	if err := json.Unmarshal(message.Data, &got); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the answer of machine %s", id)
	}
	if got.Error != "" {
		return &problem.Error{Kind: problem.ParseKind(got.Kind), Text: got.Error, Hint: got.Hint}
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(got.Value, value)
}

// serveQuestions answers the other machines until ctx ends.
func (p *platform) serveQuestions(ctx context.Context) error {
	handlers := map[question]func(context.Context, []byte) (any, error){
		askPublish: p.publish, askCodeLog: p.answerCodeLog, askRestart: p.answerRestart,
		askExplain: p.answerExplain,
	}
	if p.control() {
		handlers[askMember] = p.becomeMember
	}
	var running sync.WaitGroup
	defer running.Wait()
	for what, handle := range handlers {
		turns := make(chan struct{}, answerers)
		subscription, err := p.log.Conn().Subscribe(what.subject(p.host.ID), func(message *nats.Msg) {
			select {
			case turns <- struct{}{}:
				running.Go(func() {
					defer func() { <-turns }()
					value, err := handle(ctx, message.Data)
					respond(message, value, err)
				})
			default:
				respond(message, nil, problem.New(problem.Busy, "machine %s answers %d such questions already", p.options.hostName, answerers))
			}
		})
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot listen for questions of other machines")
		}
		defer func() { _ = subscription.Unsubscribe() }() // fails where the connection is gone, and with it the subscription
	}
	<-ctx.Done()
	return ctx.Err()
}

func respond(message *nats.Msg, value any, err error) {
	var out hostAnswer
	if err == nil && value != nil {
		out.Value, err = json.Marshal(value)
	}
	if err != nil {
		out = hostAnswer{Kind: problem.KindOf(err).String(), Error: err.Error(), Hint: problem.HintOf(err)}
	}
	text, _ := json.Marshal(out) // texts, and JSON that was made above
	_ = message.Respond(text)    // who asked may be gone
}

func readQuestion[T any](text []byte) (asked T, err error) {
	if err := json.Unmarshal(text, &asked); err != nil {
		return asked, problem.Wrap(problem.Invalid, err, "cannot read the question")
	}
	return asked, nil
}

type publishRequest struct {
	Site   events.SiteID `json:"site"`
	Commit string        `json:"commit"`
}

// publishTimeout is for a large release on a slow disk.
const publishTimeout = 2 * time.Minute

func (r otherHosts) Publish(ctx context.Context, to events.HostID, site events.SiteID, commit string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return r.askHost(ctx, to, askPublish, publishRequest{site, commit}, nil)
}

func (p *platform) publish(ctx context.Context, text []byte) (any, error) {
	asked, err := readQuestion[publishRequest](text)
	if err == nil {
		_, err = events.ParseSiteID(string(asked.Site))
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return nil, p.machine.agent.Publish(ctx, asked.Site, asked.Commit)
}

type codeLogRequest struct {
	Site  events.SiteID `json:"site"`
	Limit int           `json:"limit"`
}

// codeLogTimeout bounds git's reading of a history.
const codeLogTimeout = 20 * time.Second

func (p *platform) codeLogAt(ctx context.Context, to events.HostID, asked codeLogRequest) (commits []api.CodeCommit, err error) {
	ctx, cancel := context.WithTimeout(ctx, codeLogTimeout)
	defer cancel()
	return commits, p.askHost(ctx, to, askCodeLog, asked, &commits)
}

func (p *platform) answerCodeLog(ctx context.Context, text []byte) (any, error) {
	asked, err := readQuestion[codeLogRequest](text)
	if err == nil {
		_, err = events.ParseSiteID(string(asked.Site))
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, codeLogTimeout)
	defer cancel()
	return p.codeLogHere(ctx, asked.Site, asked.Limit)
}

// placement explains placements by the policies that act: what hosts have
// refused, those alone know.
type placement struct{ *platform }

func (e placement) Explain(ctx context.Context, id events.DropID) (candidates []policy.Candidate, err error) {
	if leader := e.leader(); !e.leads() && leader != "" {
		return candidates, e.askHost(ctx, leader, askExplain, id, &candidates)
	}
	return e.reactor.Explain(ctx, id)
}

func (p *platform) answerExplain(ctx context.Context, text []byte) (any, error) {
	id, err := readQuestion[events.DropID](text)
	if err == nil {
		_, err = events.ParseDropID(string(id))
	}
	if err != nil || p.reactor == nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return p.reactor.Explain(ctx, id)
}
