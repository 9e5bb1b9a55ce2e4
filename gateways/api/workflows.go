package api

import (
	"encoding/json"
	"iter"
	"net/http"
	"slices"

	"pantheon/actors/environment"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// WorkflowRequest starts a workflow of any type.
type WorkflowRequest struct {
	Type   events.WorkflowType `json:"type"`
	Params json.RawMessage     `json:"params,omitzero"`
}

// CreateSiteParams are the params of create_site. Terminus gives no upstream:
// see pending.go.
type CreateSiteParams struct {
	SiteName      string `json:"site_name"`
	Label         string `json:"label,omitzero"`
	PreferredZone string `json:"preferred_zone,omitzero"` // taken and ignored: one zone
	Organization  string `json:"organization_id,omitzero"`

	UpstreamID string           `json:"upstream_id,omitzero"` // id or machine name
	Owner      events.AccountID `json:"owner,omitzero"`       // another account's, for the operator
}

// deployProduct is not an operation of this platform: it is the second half of
// Terminus' site creation.
const deployProduct events.WorkflowType = "deploy_product"

// siteWorkflow is one type of workflow that POST sites/{site}/workflows takes.
type siteWorkflow struct {
	kind        events.WorkflowType
	description string
	start       func(*call, json.RawMessage) (reply, error)
}

func siteWorkflows() []siteWorkflow {
	return []siteWorkflow{
		{events.WorkflowDeleteSite, "Delete the site", startDeleteSite},
		{deployProduct, "Deploy the upstream to a new site", startDeployProduct},
	}
}

func startSiteWorkflow(c *call) (reply, error) {
	var request WorkflowRequest
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	for _, w := range siteWorkflows() {
		if w.kind == request.Type {
			return w.start(c, request.Params)
		}
	}
	return reply{}, unknownWorkflow(request.Type, "a site", "delete_site")
}

func startEnvironmentWorkflow(c *call) (reply, error) {
	var request WorkflowRequest
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	return reply{}, unknownWorkflow(request.Type, "an environment", "")
}

func unknownWorkflow(kind events.WorkflowType, owner, known string) error {
	err := problem.New(problem.Unsupported, "cannot start workflow %.60q of %s: this version does not have it", kind, owner)
	if known != "" {
		err = err.WithHint("workflow types here are: %s", known)
	}
	return err
}

func startUserWorkflow(c *call) (reply, error) {
	var request WorkflowRequest
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	if request.Type != events.WorkflowCreateSite {
		return reply{}, unknownWorkflow(request.Type, "a user", "create_site")
	}
	var params CreateSiteParams
	if err := decodeJSON(request.Params, isTerminus(c.request), &params); err != nil {
		return reply{}, err
	}
	create, err := c.checkCreateSite(&params)
	if err != nil {
		return reply{}, err
	}
	newSite := events.SiteID(derivedUUID(c.command, "site"))
	id := events.WorkflowID(derivedUUID(c.command, "workflow"))
	if params.UpstreamID == "" {
		pending, err := c.server.pending.add(pendingSite{
			siteFacts: siteFacts{id: newSite, name: create.Name, owner: create.Owner},
			label:     create.Label, workflow: id, created: c.server.options.Now(),
		})
		return reply{status: http.StatusAccepted, body: pending.workflowRecord(false)}, err
	}
	return c.startCreateSite(id, newSite, params.UpstreamID, create)
}

// checkCreateSite refuses early what the actors would refuse later: the
// caller gets words instead of a workflow that fails.
func (c *call) checkCreateSite(params *CreateSiteParams) (events.CreateSite, error) {
	create := events.CreateSite{Name: params.SiteName, Label: params.Label, Owner: c.account}
	if params.Organization != "" {
		return create, problem.New(problem.Unsupported, "cannot create a site for an organization: this version has none")
	}
	if params.Owner != "" && params.Owner != c.account {
		if !c.who.operator {
			return create, problem.New(problem.Denied, "cannot create a site for another account")
		}
		if _, known := c.view.account(params.Owner); !known {
			return create, problem.New(problem.NotFound, "cannot find account %.40q", params.Owner)
		}
		create.Owner = params.Owner
	}
	if _, err := events.ParseSiteName(create.Name); err != nil {
		return create, problem.Wrap(problem.Invalid, err, "cannot create the site").
			WithHint("choose a name like my-blog")
	}
	if create.Label == "" {
		create.Label = create.Name
	}
	if err := events.CheckText("the label", create.Label, site.MaxLabelBytes); err != nil {
		return create, problem.Wrap(problem.Invalid, err, "cannot create the site")
	}
	again := events.SiteID(derivedUUID(c.command, "site"))
	if facts, taken := c.view.site(create.Name); taken && facts.id != again {
		return create, problem.New(problem.Conflict, "cannot create the site: the name %s is taken", create.Name).
			WithHint("choose another name; pantheon site list shows yours")
	}
	return create, nil
}

func (c *call) startCreateSite(id events.WorkflowID, site events.SiteID, upstream string, create events.CreateSite) (reply, error) {
	offer, err := c.upstream(upstream)
	if err != nil {
		return reply{}, err
	}
	create.Upstream, create.Framework = offer.ID, offer.Framework
	create.Source = events.CodeSource{Location: c.open(offer.RepositoryURL), Branch: c.open(offer.RepositoryBranch)}
	create.Settings = environment.DefaultSettings("dev")
	return c.startWorkflow(workflow.Start{
		Workflow: id, Type: events.WorkflowCreateSite, Description: "Create site " + create.Name,
		Site: site, Environment: events.EnvironmentOf(site, "dev"), Create: &create,
	})
}

func startDeleteSite(c *call, _ json.RawMessage) (reply, error) {
	return c.startWorkflow(workflow.Start{
		Workflow: events.WorkflowID(derivedUUID(c.command, "workflow")), Type: events.WorkflowDeleteSite,
		Description: "Delete site " + c.site.name, Site: c.site.id,
	})
}

// startDeployProduct makes the site that Terminus named before.
func startDeployProduct(c *call, text json.RawMessage) (reply, error) {
	var params struct {
		ProductID string `json:"product_id"`
	}
	if err := decodeJSON(text, isTerminus(c.request), &params); err != nil {
		return reply{}, err
	}
	if _, exists := c.view.state.Site(c.site.id); exists {
		return reply{}, problem.New(problem.Unsupported, "cannot deploy another upstream to site %s: it has one already", c.site.name)
	}
	pending := c.server.pending.get(c.site.id)
	create := events.CreateSite{Name: pending.name, Label: pending.label, Owner: pending.owner}
	return c.startCreateSite(events.WorkflowID(derivedUUID(c.command, "workflow")), c.site.id, params.ProductID, create)
}

// startWorkflow begins a workflow and answers its record, as running, with the
// status that the original gives.
func (c *call) startWorkflow(start workflow.Start) (reply, error) {
	if err := c.do(start.Workflow.Stream(), start); err != nil {
		return reply{}, err
	}
	started, known := c.view.state.Workflow(start.Workflow)
	if !known {
		return reply{}, problem.New(problem.Unavailable, "cannot show workflow %s yet: it has started, and the inventory is late", start.Workflow).
			WithHint("pantheon workflow wait %s", start.Workflow)
	}
	record := c.workflowRecord(started)
	if start.Create != nil {
		record.WaitingForTask = &WaitingForTask{Site: start.Site}
	}
	return reply{status: http.StatusAccepted, body: record}, nil
}

// workflowRecord makes the record of a workflow that the caller may see, also
// what it says about a site that is gone.
func (c *call) workflowRecord(w *inventory.Workflow) Workflow {
	c.show(w.Site)
	return c.view.workflowRecord(w, c.clock())
}

func showUserWorkflow(c *call) (reply, error) {
	if pending, known := c.server.pending.workflow(events.WorkflowID(c.request.PathValue("workflow")), c.who); known {
		return reply{body: pending.workflowRecord(true)}, nil
	}
	return showWorkflow(c)
}

// showSiteWorkflow answers for a site that is gone too: somebody waits for the
// end of its deletion.
func showSiteWorkflow(c *call) (reply, error) { return showWorkflow(c) }

func showWorkflow(c *call) (reply, error) {
	id := events.WorkflowID(c.request.PathValue("workflow"))
	found, known := c.view.state.Workflow(id)
	if !known || !c.mayShow(found) {
		return reply{}, problem.New(problem.NotFound, "cannot find workflow %.40q", id).WithHint("pantheon workflow list")
	}
	record := c.workflowRecord(found)
	if c.request.URL.Query().Get("hydrate") == "" {
		record.Operations = nil
	}
	return reply{body: record}, nil
}

// mayShow: whoever started it, and whoever owns its site.
func (c *call) mayShow(w *inventory.Workflow) bool {
	if c.who.operator || w.Principal == "account/"+string(c.who.account) {
		return true
	}
	site, known := c.view.state.Site(w.Site)
	return known && site.Owner == c.who.account
}

// listWorkflows gives the newest workflows first, those that the caller may
// see, of one site with ?site=.
func listWorkflows(c *call) (reply, error) {
	site, err := c.queriedSite()
	if err != nil {
		return reply{}, err
	}
	if site != "" {
		return c.newestWorkflows(slices.Values(c.view.state.SiteWorkflows(site)))
	}
	return c.newestWorkflows(func(yield func(*inventory.Workflow) bool) {
		for w := range c.view.state.Workflows(0) {
			if c.mayShow(w) && !yield(w) {
				return
			}
		}
	})
}

func listSiteWorkflows(c *call) (reply, error) {
	return c.newestWorkflows(slices.Values(c.view.state.SiteWorkflows(c.site.id)))
}

// listUserWorkflows gives those that the account has started.
func listUserWorkflows(c *call) (reply, error) {
	principal := "account/" + string(c.account)
	return c.newestWorkflows(func(yield func(*inventory.Workflow) bool) {
		for w := range c.view.state.Workflows(0) {
			if w.Principal == principal && !yield(w) {
				return
			}
		}
	})
}

func (c *call) newestWorkflows(workflows iter.Seq[*inventory.Workflow]) (reply, error) {
	limit, err := pageLimit(c.request.URL.Query())
	if err != nil {
		return reply{}, err
	}
	records := []Workflow{}
	for w := range workflows {
		if len(records) == limit {
			break
		}
		record := c.workflowRecord(w)
		record.Operations = nil
		records = append(records, record)
	}
	return reply{body: records}, nil
}
