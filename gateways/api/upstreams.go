package api

import (
	"net/http"
	"path/filepath"
	"strings"

	"pantheon/actors/account"
	"pantheon/events"
	"pantheon/events/problem"
)

func listUpstreams(c *call) (reply, error) {
	upstreams, err := page(c.request.URL.Query(), c.view.upstreams(c.server.options.Operator), func(u Upstream) string { return string(u.ID) })
	return reply{body: upstreams}, err
}

func showUpstream(c *call) (reply, error) {
	upstream, err := c.upstream(c.request.PathValue("upstream"))
	return reply{body: upstream}, err
}

// upstream finds an upstream by its id or machine name.
func (c *call) upstream(name string) (Upstream, error) {
	for _, u := range c.view.upstreams(c.server.options.Operator) {
		if string(u.ID) == name || u.MachineName == name {
			return u, nil
		}
	}
	return Upstream{}, problem.New(problem.NotFound, "cannot find upstream %.60q", name).WithHint("pantheon upstream list")
}

func addUpstream(c *call) (reply, error) {
	id := events.UpstreamID(derivedUUID(c.command, "upstream"))
	upstream, err := c.putUpstream(id)
	return reply{status: http.StatusCreated, body: upstream}, err
}

func replaceUpstream(c *call) (reply, error) {
	old, err := c.upstream(c.request.PathValue("upstream"))
	if err != nil {
		return reply{}, err
	}
	upstream, err := c.putUpstream(old.ID)
	return reply{body: upstream}, err
}

func (c *call) putUpstream(id events.UpstreamID) (Upstream, error) {
	var request UpstreamChange
	if err := c.decode(&request); err != nil {
		return Upstream{}, err
	}
	if request.Label == "" {
		request.Label = request.MachineName
	}
	source := events.CodeSource{Location: request.RepositoryURL, Branch: request.RepositoryBranch}
	if err := c.server.options.CheckSource(source); err != nil {
		return Upstream{}, err
	}
	command := account.AddUpstream{
		Upstream: id, Name: request.MachineName, Label: request.Label, Framework: request.Framework,
		Source: source,
	}
	if err := c.do(c.server.options.Operator.Stream(), command); err != nil {
		return Upstream{}, err
	}
	return c.upstream(string(id))
}

// checkLocation takes what git fetches safely and absolute paths. Anything
// else (ext::, options that begin with a dash) could run programs; a URL with
// a password would put the password into the log, and code that came over
// plain HTTP is whoever's on the way.
func checkLocation(source events.CodeSource) error {
	location, branch := source.Location, source.Branch
	if strings.HasPrefix(branch, "-") {
		return problem.New(problem.Invalid, "cannot use branch %.40q", branch)
	}
	if filepath.IsAbs(location) {
		return nil
	}
	scheme, rest, found := strings.Cut(location, "://")
	if !found || !strings.Contains("|https|ssh|git|file|", "|"+scheme+"|") {
		return problem.New(problem.Invalid, "cannot use repository_url %.60q", location).
			WithHint("give an https://, ssh://, git:// or file:// URL, or the absolute path of a repository or folder")
	}
	authority, _, _ := strings.Cut(rest, "/")
	user, _, has := strings.Cut(authority, "@")
	if has && (strings.Contains(user, ":") || scheme == "https") {
		return problem.New(problem.Invalid, "cannot use a repository_url with credentials: they would stand in the log for good")
	}
	return nil
}

func removeUpstream(c *call) (reply, error) {
	upstream, err := c.upstream(c.request.PathValue("upstream"))
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, c.do(c.server.options.Operator.Stream(), account.RemoveUpstream{Upstream: upstream.ID})
}
