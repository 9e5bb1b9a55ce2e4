package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
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
// Control machines ask, and hear the answer at "cell.answer.<host>.<number>", where
// that machine alone speaks. As they may listen to everything, secrets go by the
// mesh. What another machine asks goes to control machines alone, at
// "cell.<question>.<who asks>.<host>".

// question is one that machines ask one another.
type question string

const (
	askPublish question = "publish" // a release of a site's code, into the bucket of releases
	askCodeLog question = "codelog" // the newest commits of a site
	askMember  question = "member"  // hold the log together with others, or no longer
	askRestart question = "restart" // begin anew
	askExplain question = "explain" // why a DROP is where it is, or nowhere
	askFetch   question = "fetch"   // have another machine publish a release
)

const answerSubject = "cell.answer."

func (q question) subject(id events.HostID) string { return "cell." + string(q) + "." + string(id) }

// from is the subject at which a machine without the control role asks.
func (q question) from(asker events.HostID, asked string) string {
	return "cell." + string(q) + "." + string(asker) + "." + asked
}

// hostAnswer is an error, or a value.
type hostAnswer struct {
	Kind  string          `json:"kind,omitzero"`
	Error string          `json:"error,omitzero"`
	Hint  string          `json:"hint,omitzero"`
	Value json.RawMessage `json:"value,omitzero"`
}

// answerers at once for each question; further ones are refused as busy.
const answerers = 4

// fetchers at once: a control machine only waits for another one's answer.
const fetchers = 64

// askHost asks a machine and waits for its answer; value may be nil.
func (p *platform) askHost(ctx context.Context, id events.HostID, what question, asked, value any) error {
	text, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	message, err := requestOf(ctx, p.log.Conn(), &nats.Msg{Subject: what.subject(id), Reply: answerSubject + string(id) + "." + rand.Text(), Data: text})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot ask machine %s for %s", id, what)
	}
	return readAnswer(message, id, value)
}

// requestOf asks, and waits for the answer at the subject that the message names.
func requestOf(ctx context.Context, conn *nats.Conn, message *nats.Msg) (*nats.Msg, error) {
	answers, err := conn.SubscribeSync(message.Reply)
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	if err := conn.PublishMsg(message); err != nil {
		return nil, err
	}
	return answers.NextMsgWithContext(ctx)
}

func readAnswer(message *nats.Msg, id events.HostID, value any) error {
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
	}
	if p.control() {
		handlers[askMember], handlers[askExplain] = p.becomeMember, p.answerExplain
	}
	var running sync.WaitGroup
	var open []*nats.Subscription
	defer func() {
		for _, subscription := range open {
			_ = subscription.Unsubscribe() // fails where the connection is gone, and with it the subscription
		}
		running.Wait()
	}()
	listen := func(subject string, atOnce int, handle func(context.Context, *nats.Msg) (any, error)) error {
		turns := make(chan struct{}, atOnce)
		subscription, err := p.log.Conn().Subscribe(subject, func(message *nats.Msg) {
			select {
			case turns <- struct{}{}:
				running.Go(func() {
					defer func() { <-turns }()
					value, err := handle(ctx, message)
					respond(message, value, err)
				})
			default:
				respond(message, nil, problem.New(problem.Busy, "machine %s answers %d such questions already", p.options.hostName, atOnce))
			}
		})
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot listen for questions of other machines")
		}
		open = append(open, subscription)
		return nil
	}
	var failed error
	for what, handle := range handlers {
		failed = errors.Join(failed, listen(what.subject(p.host.ID), answerers, func(ctx context.Context, message *nats.Msg) (any, error) { return handle(ctx, message.Data) }))
	}
	if p.control() {
		failed = errors.Join(failed, listen(askFetch.from("*", string(p.host.ID)), fetchers, p.answerFetch))
	}
	if failed != nil {
		return failed
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
	request := publishRequest{site, commit}
	if r.control() {
		return r.askHost(ctx, to, askPublish, request, nil)
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = askControl(ctx, r.cell, func(ctx context.Context, control events.HostID) (struct{}, error) {
		message, err := r.log.Conn().RequestWithContext(ctx, askFetch.from(r.host.ID, string(control)), text)
		if err != nil {
			return struct{}{}, problem.Wrap(problem.Unavailable, err, "cannot ask machine %s for %s", control, askFetch)
		}
		return struct{}{}, readAnswer(message, control, nil)
	})
	return err
}

// answerFetch has the host of a site's code publish a release, for a machine that
// holds something of the site.
func (p *platform) answerFetch(ctx context.Context, message *nats.Msg) (any, error) {
	from := events.HostID(strings.Split(message.Subject, ".")[2]) // the server has matched it
	asked, err := readQuestion[publishRequest](message.Data)
	if err != nil {
		return nil, err
	}
	state := p.caughtUp(ctx)
	if !state.HoldsOf(from, asked.Site) {
		return nil, problem.New(problem.Denied, "host %s holds nothing of site %s", from, asked.Site)
	}
	for _, bound := range state.SiteBindings(asked.Site) {
		switch {
		case bound.Kind != events.CodeServer || bound.Host == "":
		case bound.Host == p.host.ID:
			return p.publish(ctx, message.Data)
		default:
			ctx, cancel := context.WithTimeout(ctx, publishTimeout)
			defer cancel()
			return nil, p.askHost(ctx, bound.Host, askPublish, asked, nil)
		}
	}
	return nil, problem.New(problem.NotFound, "no host has the code of site %s", asked.Site)
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
