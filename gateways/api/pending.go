package api

import (
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Terminus creates a site in two steps: create_site gives it a name, and
// deploy_product, sent a second later, says which upstream it is made from.
// Here a site is made in one workflow that needs the upstream, so what the
// first step said waits here for the second. It is no decision: nothing of it
// is in the log, nothing is lost when it is forgotten, and the name is claimed
// only by the workflow.

// pendingSite is a site that has a name and no upstream yet.
type pendingSite struct {
	siteFacts
	label    string
	workflow events.WorkflowID
	created  time.Time
}

type pendingSites struct {
	mutex sync.Mutex
	sites map[events.SiteID]pendingSite
}

// add remembers the site; the same one again is the same.
func (p *pendingSites) add(site pendingSite) (pendingSite, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if old, known := p.sites[site.id]; known {
		return old, nil
	}
	for id, old := range p.sites {
		if site.created.Sub(old.created) > pendingLifetime {
			delete(p.sites, id)
		}
	}
	if len(p.sites) >= maxPendingSites {
		return pendingSite{}, problem.New(problem.Busy, "cannot create the site: %d others wait for their upstream", len(p.sites)).
			WithHint("give the upstream at once: pantheon site create %s --upstream NAME", site.name)
	}
	if p.sites == nil {
		p.sites = make(map[events.SiteID]pendingSite)
	}
	p.sites[site.id] = site
	return site, nil
}

func (p *pendingSites) get(id events.SiteID) pendingSite {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.sites[id]
}

func (p *pendingSites) site(id events.SiteID, who principal, now time.Time) (siteFacts, bool) {
	site := p.get(id)
	known := site.id != "" && now.Sub(site.created) <= pendingLifetime && (who.operator || who.account == site.owner)
	return site.siteFacts, known
}

func (p *pendingSites) workflow(id events.WorkflowID, who principal) (pendingSite, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, site := range p.sites {
		if site.workflow == id && (who.operator || who.account == site.owner) {
			return site, true
		}
	}
	return pendingSite{}, false
}

func (p *pendingSites) record(facts siteFacts) Site {
	site := p.get(facts.id)
	return Site{
		ID: site.id, Name: site.name, Label: site.label, Created: site.created.Unix(), Owner: site.owner,
		HolderType: "user", HolderID: site.owner, State: "creating",
	}
}

// workflowRecord is the create_site that Terminus polls: running in the answer
// to its start, where the site's id is read, and done when it asks again.
func (site pendingSite) workflowRecord(finished bool) Workflow {
	at := site.created.Unix()
	record := Workflow{
		ID: site.workflow, Type: events.WorkflowCreateSite,
		Description: "Create site " + site.name, ActiveDescription: "Create site " + site.name,
		CreatedAt: at, StartedAt: at, NumberOfTasks: 1, User: WorkflowUser{ID: site.owner},
		Site: site.id, SiteName: site.name, Steps: []WorkflowStep{},
	}
	if finished {
		result := resultSucceeded
		record.Result, record.FinishedAt, record.Step = &result, &at, 1
	} else {
		record.WaitingForTask = &WaitingForTask{Site: site.id}
	}
	return record
}
