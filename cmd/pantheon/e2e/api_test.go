package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/gateways/api"
)

// api asks the API over its socket, as the command line does.
func (p *platform) api(t *testing.T, method, path, body string) page {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return api.DialUnix(ctx, filepath.Join(p.data, "run", "api.sock"))
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://pantheon/api/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{response.StatusCode, response.Header, string(text), request.URL.String()}
}
