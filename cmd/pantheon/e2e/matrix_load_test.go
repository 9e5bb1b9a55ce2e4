package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// answerWithin is more than any answer may take while a host is lost or cut off:
// the lease, its release and a wake.
const answerWithin = 15 * time.Second

// failure is a request that was not answered as it should have been.
type failure struct {
	at   time.Time
	what string
}

// load is visitors who ask without a pause, until stop.
type load struct {
	end      context.CancelFunc
	all      sync.WaitGroup
	mu       sync.Mutex
	answered int
	slowest  time.Duration
	failures []failure
}

// visit lets one visitor for each site ask one machine for the page, which must
// hold the text.
func visit(t testing.TB, m *machine, text string, sites ...string) *load {
	ctx, end := context.WithCancel(context.Background())
	l := &load{end: end}
	t.Cleanup(func() { l.stop() })
	for _, site := range sites {
		v := m.visitor(site)
		v.client.Timeout = answerWithin
		l.all.Go(func() {
			breath := time.NewTicker(pollEvery)
			defer breath.Stop()
			for ctx.Err() == nil {
				if !l.ask(v, text) {
					<-breath.C // nobody turned away asks thousands of times a second
				}
			}
		})
	}
	return l
}

// ask says whether it was answered.
func (l *load) ask(v *visitor, text string) bool {
	began := time.Now()
	answer, err := v.try(http.MethodGet, "/", nil)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	switch {
	case err != nil:
		l.failures = append(l.failures, failure{began, v.host + ": " + err.Error()})
	case answer.status != http.StatusOK || !strings.Contains(answer.body, text):
		l.failures = append(l.failures, failure{began, fmt.Sprintf("%s: %d %s", v.host, answer.status, title(answer.body))})
	default:
		l.answered++
		return true
	}
	return false
}

// title gives the page's, or how it begins.
func title(body string) string {
	if _, after, found := strings.Cut(body, "<title>"); found {
		body, _, _ = strings.Cut(after, "<")
	}
	return body[:min(200, len(body))]
}

// count gives how many requests were answered so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// goesOn waits until more requests have been answered.
func (l *load) goesOn(t testing.TB, more int) {
	t.Helper()
	from := l.count()
	eventually(t, "visitors are served", func() bool { return l.count() >= from+more })
}

// stop ends the visitors and gives what was not answered rightly.
func (l *load) stop() []failure {
	l.end()
	l.all.Wait()
	return l.failures
}

// wantsNone ends the visitors, none of whom may have been turned away.
func (l *load) wantsNone(t testing.TB, when string) {
	t.Helper()
	failures := l.stop()
	for _, one := range failures[:min(5, len(failures))] {
		t.Errorf("%s: %s %s", when, one.at.Format("15:04:05.000"), one.what)
	}
	t.Logf("%s: %d requests answered, %d not, the slowest took %s", when, l.answered, len(failures), l.slowest.Round(time.Millisecond))
}

// client speaks to the API of one machine with a token.
type client struct {
	http    http.Client
	url     string
	session string
}

// client logs in at a machine.
func (c *cell) client(t testing.TB, m *machine, token string) *client {
	t.Helper()
	one := &client{url: "http://" + c.net.address(m.number) + ":" + apiPort + "/api/", http: http.Client{Timeout: answerWithin, Transport: &http.Transport{}}}
	var session api.Session
	if err := one.do(http.MethodPost, "authorize/machine-token", api.Login{MachineToken: token, Client: "e2e"}, &session); err != nil {
		t.Fatal(err)
	}
	one.session = session.Session
	return one
}

func (c *client) do(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.session != "" {
		request.Header.Set("Authorization", "Bearer "+c.session)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if text, err = io.ReadAll(response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%d %s", response.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}

// writer changes one record through one machine, a number higher each time, and
// reads it back.
type writer struct {
	*client
	name         string
	acknowledged []string
	refused      []string
	wrong        []string
	slowest      time.Duration // of what was refused
	begun        chan struct{} // closed with the first that is acknowledged
}

// maxWrites by one writer: what events tail shows must hold those of three.
const maxWrites = 300

// writeEvery keeps a writer within maxWrites for as long as the test takes.
const writeEvery = 40 * time.Millisecond

// write goes on until ctx ends.
func (w *writer) write(ctx context.Context, location string) {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	newest := -1
	for number := range maxWrites {
		label := fmt.Sprintf("%s-%04d", w.name, number)
		change := api.UpstreamChange{MachineName: w.name, Label: label, Framework: "php", RepositoryURL: location}
		method, path := http.MethodPut, "upstreams/"+w.name
		if newest < 0 {
			method, path = http.MethodPost, "upstreams"
		}
		var upstream api.Upstream
		began := time.Now()
		if err := w.do(method, path, change, &upstream); err != nil {
			w.refused = append(w.refused, err.Error())
			w.slowest = max(w.slowest, time.Since(began))
		} else {
			if newest < 0 {
				close(w.begun)
			}
			newest = number
			w.acknowledged = append(w.acknowledged, label)
		}
		if err := w.do(http.MethodGet, "upstreams/"+w.name, nil, &upstream); err == nil && newest >= 0 && upstream.Label < fmt.Sprintf("%s-%04d", w.name, newest) {
			w.wrong = append(w.wrong, fmt.Sprintf("%q was read after number %d was acknowledged", upstream.Label, newest))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
