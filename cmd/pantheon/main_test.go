package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the real one: a script's `pantheon` is main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pantheon": main})
}

// awaitTimeout bounds a script's wait for one thing; the longest is the first
// start of a platform, which makes a database server's folder.
const awaitTimeout = time.Minute

// TestScripts runs the scripts of testdata/script over the real binary. They
// have three commands of their own:
//
//	await COMMAND ARGUMENT...      runs it until it succeeds
//	page SITE.ENV PATH TEXT...     fetches a page of a site, whose host name need
//	                               not resolve, and wants every text in its
//	                               status, header and body
//	proxied SITE.ENV PATH TEXT...  the same, as a proxy that ends TLS asks for a
//	                               visitor at 203.0.113.7
//
// and the condition platform: this machine can run one, with sandboxes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PANTHEON_DATA", env.WorkDir+"/data")
			env.Setenv("PANTHEON_DNS", "127.0.0.1:0")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "platform" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			_, install := examine(requirements())
			return install == "" && os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await,
			"page":  func(ts *testscript.TestScript, negated bool, args []string) { page(ts, negated, args, nil) },
			"proxied": func(ts *testscript.TestScript, negated bool, args []string) {
				page(ts, negated, args, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.7"}})
			},
		},
	})
}

func await(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) == 0 {
		ts.Fatalf("usage: await COMMAND ARGUMENT...")
	}
	var failed error
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		failed = ts.Exec(args[0], args[1:]...)
		return failed == nil, nil
	}); err != nil {
		ts.Fatalf("%s: still %v after %s", strings.Join(args, " "), failed, awaitTimeout)
	}
}

func page(ts *testscript.TestScript, negated bool, args []string, header http.Header) {
	if negated || len(args) < 3 {
		ts.Fatalf("usage: page SITE.ENV PATH TEXT...")
	}
	site, environment, err := siteAndEnvironment(args[:1])
	ts.Check(err)
	// Any environment tells the port, this one's may not exist.
	ts.Check(ts.Exec("pantheon", "env", "info", "hello.dev", "--field", "url"))
	address, err := url.Parse(strings.TrimSpace(ts.ReadFile("stdout")))
	ts.Check(err)
	address.Host = environment + "-" + site + strings.TrimPrefix(address.Host, "dev-hello")
	text, err := fetchPage(address.JoinPath(args[1]), header)
	ts.Check(err)
	for _, wanted := range args[2:] {
		if !strings.Contains(text, wanted) {
			ts.Fatalf("%s has no %q:\n%.2000s", address, wanted, text)
		}
	}
}

// fetchPage gives status, header and body of a page, redirects not followed.
func fetchPage(address *url.URL, header http.Header) (string, error) {
	client := &http.Client{
		Timeout:       awaitTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", address.Port()))
		}},
	}
	request, err := http.NewRequest(http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return "", err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	var text strings.Builder
	fmt.Fprintln(&text, response.Status)
	err = errors.Join(err, response.Body.Close(), response.Header.Write(&text))
	return text.String() + "\n" + string(body), err
}
