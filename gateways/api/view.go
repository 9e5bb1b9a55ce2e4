package api

import (
	"iter"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/projections/inventory"
)

// view makes the API's records of one snapshot of the inventory.
type view struct {
	state    inventory.State
	position events.Position
	open     func(string) string // gives a sealed text in clear, see sealed.go
}

// site takes an id or a machine name.
func (v view) site(idOrName string) (siteFacts, bool) {
	site, known := v.state.FindSite(idOrName)
	if !known {
		return siteFacts{}, false
	}
	return siteFacts{id: site.ID, name: site.Name, owner: site.Owner}, true
}

// sitesFrom gives the sites that one may see in the order of their names,
// beginning with first where that is one of them.
func (v view) sitesFrom(who principal, first *inventory.Site) iter.Seq[*inventory.Site] {
	after := ""
	if first != nil {
		after = first.Name
	}
	rest := v.state.Sites(after)
	if !who.operator {
		rest = v.state.SitesOf(who.account, after)
	}
	return func(yield func(*inventory.Site) bool) {
		if first != nil && (who.operator || first.Owner == who.account) && !yield(first) {
			return
		}
		for site := range rest {
			if !yield(site) {
				return
			}
		}
	}
}

func (v view) siteRecord(site *inventory.Site) Site {
	php := ""
	if dev, known := v.state.Environment(events.EnvironmentOf(site.ID, "dev")); known {
		php = digits(dev.Settings.PHPVersion)
	}
	upstream := v.siteUpstream(site)
	return Site{
		ID: site.ID, Name: site.Name, Label: site.Label, Created: site.Created.Unix(), Framework: site.Framework,
		PlanName: "Sandbox", ServiceLevel: "free", HolderType: "user", HolderID: site.Owner, Owner: site.Owner,
		PHPVersion: php, Upstream: upstream, Settings: SiteSettings{Upstream: upstream},
		State: string(site.Status), Reason: site.Reason,
	}
}

// siteUpstream says where the site's code came from; what the upstream is
// called may be gone with its offer.
func (v view) siteUpstream(site *inventory.Site) SiteUpstream {
	record := SiteUpstream{
		ID: site.Upstream, ProductID: site.Upstream, Framework: site.Framework,
		URL: site.Source.Location, RepositoryURL: site.Source.Location, Branch: site.Source.Branch,
	}
	if upstream, known := v.state.Upstream(site.Upstream); known {
		record.Label, record.MachineName = upstream.Label, upstream.Name
	}
	return record
}

// digits writes a PHP version as Terminus reads it: 8.2 is "82".
func digits(version string) string { return strings.ReplaceAll(version, ".", "") }

// hasEnvironment says whether the site has the environment, initialised or not.
func (v view) hasEnvironment(id events.EnvironmentID) bool {
	_, known := v.state.Environment(id)
	return known
}

// settings gives an environment's settings, and whether it has been
// initialised.
func (v view) settings(id events.EnvironmentID) (events.EnvironmentSettings, bool) {
	environment, known := v.state.Environment(id)
	if !known {
		return events.EnvironmentSettings{}, false
	}
	return environment.Settings, environment.Initialized()
}

func (v view) environmentRecord(e *inventory.Environment) Environment {
	record := Environment{
		OnServerDevelopment: e.Settings.Connection == events.ConnectionSFTP,
		PHPVersion:          digits(e.Settings.PHPVersion),
		TargetRef:           "refs/heads/" + branch(e.Name),
		TargetCommit:        e.Commit,
		Initialized:         e.Initialized(),
		StyxCluster:         "styx",
		Name:                e.Name, Site: e.Site, SiteName: e.SiteName, State: string(e.Status),
		Drops: []Drop{},
	}
	if !e.Created.IsZero() {
		record.Created = e.Created.Unix()
		settings := e.Settings
		record.Settings = &settings
	}
	return record
}

// branch is the git branch behind an environment: master for dev, and for test
// and live, which run tagged commits of it.
func branch(name events.EnvironmentName) string {
	if slices.Contains([]events.EnvironmentName{"dev", "test", "live"}, name) {
		return "master"
	}
	return string(name)
}

func (v view) dropRecord(d *inventory.Drop) Drop {
	return Drop{
		ID: d.ID, Site: d.Environment.Site(), SiteName: v.siteName(d.Environment.Site()),
		Environment: d.Environment.Name(), Host: d.Host, HostName: v.hostName(d.Host),
		State: string(d.Status), MemoryMiB: d.MemoryMiB, Reason: d.Reason, Since: d.Changed, Failures: d.Attempt, Moving: d.Moving,
		Lost: v.isLost(d.Host),
	}
}

func (v view) bindingRecord(b *inventory.Binding) Binding {
	return Binding{
		ID: b.ID, Type: b.Kind, Site: b.Site, SiteName: v.siteName(b.Site), Environment: b.Environment.Name(),
		Host: b.Host, HostName: v.hostName(b.Host), State: string(b.Status), Reason: b.Reason, Since: b.Changed,
		Lost: v.isLost(b.Host),
	}
}

func (v view) siteName(id events.SiteID) string {
	if site, known := v.state.Site(id); known {
		return site.Name
	}
	return ""
}

func (v view) isLost(id events.HostID) bool {
	host, _ := v.state.Host(id)
	return host.Status == inventory.Lost
}

func (v view) hostName(id events.HostID) string {
	host, known := v.state.Host(id)
	if !known {
		return v.state.RemovedName(id)
	}
	return host.Name
}

// account gives an account's record.
func (v view) account(id events.AccountID) (User, bool) {
	account, known := v.state.Account(id)
	if !known {
		return User{ID: id}, false
	}
	return v.userRecord(account), true
}

func (v view) accounts() []User {
	users := []User{}
	for account := range v.state.Accounts() {
		users = append(users, v.userRecord(account))
	}
	return users
}

// userRecord takes a name to pieces, so it has to be open.
func (v view) userRecord(account *inventory.Account) User {
	return userRecord(account.ID, account.Kind, v.open(account.Name), v.open(account.Email))
}

// accountOfToken finds who a machine token belongs to, by its hash.
func (v view) accountOfToken(hash string, now time.Time) (events.AccountID, events.TokenID, bool) {
	token, known := v.state.TokenByHash(hash)
	if !known || expired(token, now) {
		return "", "", false
	}
	return token.Account, token.ID, true
}

func expired(token *inventory.Token, now time.Time) bool {
	return !token.Expires.IsZero() && !now.Before(token.Expires)
}

// tokenValid says whether the account still has the token.
func (v view) tokenValid(account events.AccountID, id events.TokenID, now time.Time) bool {
	return slices.ContainsFunc(v.state.Tokens(account), func(token *inventory.Token) bool {
		return token.ID == id && !expired(token, now)
	})
}

func (v view) hasToken(account events.AccountID, id events.TokenID) bool {
	return slices.ContainsFunc(v.state.Tokens(account), func(token *inventory.Token) bool { return token.ID == id })
}

func (v view) tokens(account events.AccountID) []Token {
	tokens := []Token{}
	for _, token := range v.state.Tokens(account) {
		tokens = append(tokens, Token{ID: token.ID, DeviceName: token.Device, Expires: token.Expires})
	}
	return tokens
}

// upstreams gives the operator's, which are offered to everybody.
func (v view) upstreams(operator events.AccountID) []Upstream {
	upstreams := []Upstream{}
	for upstream := range v.state.Upstreams() {
		if upstream.Account == operator {
			upstreams = append(upstreams, upstreamRecord(upstream))
		}
	}
	return upstreams
}

func upstreamRecord(u *inventory.Upstream) Upstream {
	return Upstream{
		ID: u.ID, Label: u.Label, MachineName: u.Name, Type: "core", Framework: u.Framework,
		RepositoryURL: u.Source.Location, RepositoryBranch: u.Source.Branch,
	}
}
