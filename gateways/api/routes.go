package api

import (
	"net/http"
	"slices"
)

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
		{post, "users/{user}/forget", self, forgetAccount}, // ours
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
		{post, "sites/{site}/environments/{env}/renew", team, renewEnvironment}, // ours
		{post, "sites/{site}/forget", signedIn, forgetSite},                     // ours; its owner and the operator
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
		{get, "accounts", operator, listAccounts},
		{post, "accounts", operator, createAccount},
		{post, "upstreams", operator, addUpstream},
		{put, "upstreams/{upstream}", operator, replaceUpstream},
		{remove, "upstreams/{upstream}", operator, removeUpstream},
		{get, "events", operator, showEvents},
		{get, "audit/head", open, showAuditHead},
		{get, "audit/proof", operator, showProof},
		{get, "audit/consistency", open, showConsistency},
		{get, "log/archive", operator, exportLog},
		{get, "events/why", operator, showWhy},
		{get, "routes", signedIn, listRoutes},
		{get, "routes/{host}", signedIn, showRoute},
		{get, "moment", signedIn, showMoment},
		{get, "diff", operator, showDiff},
	}
}

// matrixRoutes is the table's part about machines and what they hold; all of it
// is ours.
func matrixRoutes() []route {
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{get, "cell", operator, showCell},
		{post, "cell/grow", operator, growCell},
		{post, "cell/shrink", operator, shrinkCell},
		{get, "hosts", operator, listHosts},
		{get, "hosts/{host}", operator, showHost},
		{post, "hosts/{host}/drain", operator, drainHost},
		{post, "hosts/{host}/undrain", operator, undrainHost},
		{post, "hosts/{host}/restart", operator, restartHost},
		{remove, "hosts/{host}", operator, removeHost},
		{get, "host-tokens", operator, listHostTokens},
		{post, "host-tokens", operator, createHostToken},
		{remove, "host-tokens/{token}", operator, revokeHostToken},
		{get, "drops", signedIn, listDrops},
		{get, "drops/{drop}", signedIn, showDrop},
		{post, "drops/{drop}/move", operator, moveDrop},
		{get, "drops/{drop}/placement", operator, explainDrop},
		{get, "bindings", signedIn, listBindings},
	}
}

// dnsRoutes is the table's part about the name server; all of it is ours.
func dnsRoutes() []route {
	const get, post, put, patch, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	return []route{
		{get, "dns/zones", operator, listZones},
		{post, "dns/zones", operator, addZone},
		{get, "dns/zones/{zone}", operator, showZone},
		{remove, "dns/zones/{zone}", operator, removeZone},
		{put, "dns/zones/{zone}/settings", operator, configureZone},
		{patch, "dns/zones/{zone}/settings", operator, changeZone},
		{put, "dns/zones/{zone}/signing", operator, decideSigning},
		{get, "dns/zones/{zone}/text", operator, showZoneText},
		{get, "dns/zones/{zone}/delegation", operator, showDelegation},
		{get, "dns/zones/{zone}/records", operator, listRecords},
		{post, "dns/zones/{zone}/records", operator, addRecords},
		{remove, "dns/zones/{zone}/records", operator, removeRecords},
		{get, "dns/zones/{zone}/ds", operator, listDS},
		{get, "dns/zones/{zone}/keys", operator, listZoneKeys},
		{post, "dns/zones/{zone}/keys", operator, rollZoneKey},
		{post, "dns/zones/{zone}/keys/{key}/activate", operator, activateZoneKey},
		{remove, "dns/zones/{zone}/keys/{key}", operator, removeZoneKey},
		{get, "dns/zones/{zone}/secondaries", operator, listSecondaries},
		{post, "dns/zones/{zone}/secondaries", operator, addSecondary},
		{remove, "dns/zones/{zone}/secondaries/{address}", operator, removeSecondary},
		{get, "dns/tsig-keys", operator, listTSIG},
		{post, "dns/tsig-keys", operator, createTSIG},
		{remove, "dns/tsig-keys/{tsig}", operator, removeTSIG},
		{get, "dns/challenges", operator, listChallenges},
		{post, "dns/challenges", operator, presentChallenge},
		{remove, "dns/challenges", operator, clearChallenge},
	}
}

func (s *Server) buildMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range slices.Concat(routes(), matrixRoutes(), dnsRoutes()) {
		mux.Handle(rt.method+" /api/"+rt.path, s.handler(rt))
	}
	return mux
}
