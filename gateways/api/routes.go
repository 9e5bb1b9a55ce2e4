package api

import "net/http"

// route is one line of the table: what is asked, who may, who answers.
type route struct {
	method string
	path   string // below /api/, as http.ServeMux writes patterns
	access access
	handle func(*call) (reply, error)
}

// routes is THE table. The first part is the API that Terminus speaks, in its
// words; the second is what it has no path for.
func routes() []route {
	const get, post, put, patch, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	return []route{
		{post, "authorize/machine-token", open, logIn},

		{get, "users/{user}", self, showUser},
		{get, "users/{user}/machine_tokens", self, listTokens},
		{post, "users/{user}/machine_tokens", self, createToken}, // ours
		{remove, "users/{user}/machine_tokens/{token}", self, revokeToken},
		{get, "users/{user}/keys", self, emptyObject},
		{get, "users/{user}/instruments", self, emptyObject},
		{get, "users/{user}/upstreams", self, listUpstreams},
		{get, "users/{user}/memberships/sites", self, listSiteMemberships},
		{get, "users/{user}/memberships/organizations", self, emptyList},
		{get, "users/{user}/workflows", self, listUserWorkflows},
		{post, "users/{user}/workflows", self, startUserWorkflow},
		{get, "users/{user}/workflows/{workflow}", self, showUserWorkflow},
		{get, "upstreams/{upstream}", signedIn, showUpstream},
		{get, "site-names/{name}", signedIn, showSiteName},

		{get, "sites/{site}", team, showSite},
		{get, "sites/{site}/environments", team, listEnvironments},
		{get, "sites/{site}/environments/{env}", team, showEnvironment},
		{get, "sites/{site}/environments/{env}/settings", team, showSettings},
		{patch, "sites/{site}/environments/{env}/settings", team, changeSettings}, // ours
		{get, "sites/{site}/environments/{env}/variables", team, showVariables},
		{get, "sites/{site}/environments/{env}/domains", team, listDomains},
		{get, "sites/{site}/environments/{env}/code-log", team, showCodeLog},
		{post, "sites/{site}/environments/{env}/workflows", team, startEnvironmentWorkflow},
		{post, "sites/{site}/environments/{env}/wake", team, wakeEnvironment},   // ours
		{post, "sites/{site}/environments/{env}/sleep", team, sleepEnvironment}, // ours
		{get, "sites/{site}/bindings", team, listSiteBindings},
		{get, "sites/{site}/workflows", team, listSiteWorkflows},
		{post, "sites/{site}/workflows", team, startSiteWorkflow},
		{get, "sites/{site}/workflows/{workflow}", signedIn, showSiteWorkflow},
		{get, "sites/{site}/memberships/users", team, listSiteUsers},
		{get, "sites/{site}/memberships/organizations", team, emptyList},
		{get, "sites/{site}/authorizations", team, listAuthorizations},
		{get, "sites/{site}/features", team, emptyObject},

		{get, "health", open, showHealth},
		{get, "version", open, showVersion},
		{get, "sites", signedIn, listSites},
		{get, "workflows", signedIn, listWorkflows},
		{get, "workflows/{workflow}", signedIn, showWorkflow},
		{get, "hosts", operator, listHosts},
		{get, "hosts/{host}", operator, showHost},
		{get, "drops", signedIn, listDrops},
		{get, "drops/{drop}", signedIn, showDrop},
		{get, "bindings", signedIn, listBindings},
		{get, "accounts", operator, listAccounts},
		{post, "accounts", operator, createAccount},
		{post, "upstreams", operator, addUpstream},
		{put, "upstreams/{upstream}", operator, replaceUpstream},
		{remove, "upstreams/{upstream}", operator, removeUpstream},
		{get, "events", operator, showEvents},
	}
}

func (s *Server) buildMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range routes() {
		mux.Handle(rt.method+" /api/"+rt.path, s.handler(rt))
	}
	return mux
}
