package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// maxAnswerBytes bounds one answer of the API: a page of 1,000 records of at
// most 64 KiB each.
const maxAnswerBytes = 64 << 20

// answerTimeout is more than the API itself allows an answer.
const answerTimeout = 90 * time.Second

// client speaks to one platform.
type client struct {
	base    string // ends in /api/
	where   string // for people
	http    *http.Client
	session string
	at      string // added to reads; empty for now
}

// connect finds the platform, at the moment that --at names. It does not speak
// to it unless it has to log in or to ask for the moment.
func (c *cli) connect(ctx context.Context) (*client, error) {
	client, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	return client, c.atMoment(ctx, client)
}

func (c *cli) reach(ctx context.Context) (*client, error) {
	if c.api == "" {
		path := c.socketPath()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return api.DialUnix(ctx, path)
		}}
		near := &client{base: "http://pantheon/api/", where: path, http: &http.Client{Transport: transport}}
		if !passesOn(c.data) {
			return near, nil
		}
		token, err := c.token("this machine, which is no control machine of its cell,")
		if err != nil {
			return nil, err
		}
		return near, near.logIn(ctx, token)
	}
	address, err := url.Parse(c.api)
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		return nil, problem.New(problem.Invalid, "cannot use %q as the API's URL", c.api).WithHint("write it as http://host:port")
	}
	remote := &client{base: strings.TrimSuffix(address.String(), "/") + "/api/", where: address.Host, http: &http.Client{}}
	token, err := c.token(c.api)
	if err != nil {
		return nil, err
	}
	return remote, remote.logIn(ctx, token)
}

// passesOn says whether the platform of a data folder has no API of its own and
// passes on what it is asked: then who asks has to log in.
func passesOn(data string) bool {
	_, notOfCell := os.Stat(filepath.Join(data, "cell", cellFile))
	_, noAuthority := os.Stat(filepath.Join(data, "cell", "ca"))
	return notOfCell == nil && errors.Is(noAuthority, fs.ErrNotExist)
}

func (c *cli) socketPath() string { return filepath.Join(c.data, "run", "api.sock") }

// token reads the machine token. It is never an argument: those can be read by
// every user of the machine.
func (c *cli) token(at string) (string, error) {
	if c.tokenFile != "" {
		text, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", problem.Wrap(problem.Invalid, err, "cannot read the token")
		}
		return strings.TrimSpace(string(text)), nil
	}
	if token := c.getenv("PANTHEON_TOKEN"); token != "" {
		return token, nil
	}
	return "", problem.New(problem.Unauthenticated, "cannot log in at %s without a machine token", at).
		WithHint("on the platform's machine: pantheon token create; then set PANTHEON_TOKEN or --token-file")
}

func (c *client) logIn(ctx context.Context, token string) error {
	var session api.Session
	if err := c.do(ctx, http.MethodPost, "authorize/machine-token", api.Login{MachineToken: token, Client: "pantheon"}, &session); err != nil {
		return err
	}
	c.session = session.Session
	return nil
}

// do sends one request and reads its answer into answer, if that is not nil.
func (c *client) do(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	response, err := c.send(ctx, method, path, body, "application/json")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return c.unreachable(err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return api.ErrorOf(response.StatusCode, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", c.where, err)
	}
	return nil
}

// send sends one request. A write carries a key, so that it happens once even
// if the connection breaks and Go's transport sends it again.
func (c *client) send(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	if method == http.MethodGet {
		path = withAt(path, c.at)
	}
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "pantheon/"+versionText())
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		request.Header.Set("Idempotency-Key", randomKey())
	}
	if c.session != "" {
		request.Header.Set("Authorization", "Bearer "+c.session)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return response, nil
}

func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return problem.Wrap(problem.Unavailable, err, "cannot reach the platform at %s", c.where).
		WithHint("pantheon up starts one; --data and --api say where it is")
}

func randomKey() string {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // crypto/rand.Read never fails (Go 1.24)
	return hex.EncodeToString(key)
}

// pageItems is the largest page the API gives.
const pageItems = 1000

// list reads every page of a list.
func list[T any](ctx context.Context, c *client, path string, query url.Values, id func(T) string) ([]T, error) {
	all := []T{}
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", fmt.Sprint(pageItems))
	for {
		var page []T
		if err := c.do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < pageItems {
			return all, nil
		}
		query.Set("start", id(page[len(page)-1]))
	}
}
