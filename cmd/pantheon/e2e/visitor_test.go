package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// visitor is a browser of one site: it keeps cookies, follows redirects, and
// finds every name below the platform's domain.
type visitor struct {
	p      *platform
	client *http.Client
	host   string
}

// visitor gives a new browser of a site's dev environment.
func (p *platform) visitor(site string) *visitor {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &visitor{p: p, host: "dev-" + site + ".pantheon.localhost", client: &http.Client{
		Jar: jar, Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: 100,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, p.address)
			},
		},
	}}
}

// url gives the address of a path; a whole address stays as it is.
func (v *visitor) url(path string) string {
	if strings.HasPrefix(path, "http://") {
		return path
	}
	_, port, _ := net.SplitHostPort(v.p.address)
	return "http://" + v.host + ":" + port + path
}

// page is an answer.
type page struct {
	status int
	header http.Header
	body   string
	url    string // after redirects
}

func (g page) String() string {
	return fmt.Sprintf("%s: %d\n%v\n%.1500s", g.url, g.status, g.header, g.body)
}

// try sends a request; fields are header names and values in turn.
func (v *visitor) try(method, path string, body io.Reader, fields ...string) (page, error) {
	request, err := http.NewRequest(method, v.url(path), body)
	if err != nil {
		return page{}, err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		request.Header.Set(fields[i], fields[i+1])
	}
	response, err := v.client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return page{response.StatusCode, response.Header, string(text), response.Request.URL.String()}, err
}

func (v *visitor) send(t testing.TB, method, path string, body io.Reader, fields ...string) page {
	t.Helper()
	answer, err := v.try(method, path, body, fields...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (v *visitor) get(t testing.TB, path string, fields ...string) page {
	t.Helper()
	return v.send(t, http.MethodGet, path, nil, fields...)
}

// sees is get that wants a status and texts in the body.
func (v *visitor) sees(t testing.TB, status int, path string, texts ...string) page {
	t.Helper()
	answer := v.get(t, path)
	answer.wants(t, status, texts...)
	return answer
}

func (g page) wants(t testing.TB, status int, texts ...string) {
	t.Helper()
	if g.status != status {
		t.Fatalf("want status %d: %s", status, g)
	}
	for _, text := range texts {
		if !strings.Contains(g.body, text) {
			t.Fatalf("want %q: %s", text, g)
		}
	}
}

func (v *visitor) post(t testing.TB, path string, form url.Values) page {
	t.Helper()
	return v.send(t, http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// upload is post as multipart/form-data with one file.
func (v *visitor) upload(t testing.TB, path string, form url.Values, field, name string, content []byte) page {
	t.Helper()
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for key, values := range form {
		for _, value := range values {
			if err := parts.WriteField(key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	file, err := parts.CreateFormFile(field, name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write(content) // a buffer does not fail
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	return v.send(t, http.MethodPost, path, &body, "Content-Type", parts.FormDataContentType())
}

// stay makes the visitor not follow redirects.
func (v *visitor) stay() *visitor {
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}
