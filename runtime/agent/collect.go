package agent

import (
	"context"

	"pantheon/events"
)

// Releases that were fetched from other hosts are removed when no DROP of this
// host is of them any more: a fetch brings them back. Those of a repository on
// this host stay, as on a machine that is alone.

func (a *Agent) setRetiring(l *live, retiring bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if retiring {
		a.retiring[l] = true
	} else {
		delete(a.retiring, l)
	}
}

// collect removes a site's fetched releases that nothing uses. While one of
// its DROPs is being prepared, which may have been given its release a moment
// ago, nothing is removed: its end collects.
func (a *Agent) collect(ctx context.Context, site events.SiteID) {
	if site == "" || !a.options.Code.Borrowed(site) {
		return
	}
	a.collecting.Lock()
	defer a.collecting.Unlock()
	trees, commits, settled := a.used(site)
	if !settled {
		return
	}
	if _, err := a.options.Code.Collect(ctx, site, trees); err != nil {
		a.logger.Warn("cannot collect unused releases", "site", site, "error", err)
		return
	}
	if _, err := a.options.Code.CollectFetched(ctx, commits); err != nil {
		a.logger.Warn("cannot collect what was fetched", "error", err)
	}
}

// used gives the trees that DROPs of a site are served from, and the commits of
// all DROPs. It is not settled while a DROP of the site is not at its newest
// generation.
func (a *Agent) used(site events.SiteID) (trees []string, commits map[string]bool, settled bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	commits = map[string]bool{}
	for _, e := range a.entries {
		spec := e.spec.Load()
		commits[spec.Commit] = true
		if spec.Environment == "" || spec.Environment.Site() != site {
			continue
		}
		runner := e.runner.Load()
		if runner == nil || runner.State().Generation != spec.Generation {
			return nil, nil, false
		}
		trees = append(trees, runner.CodeDir())
	}
	for l := range a.retiring {
		trees = append(trees, l.tree)
	}
	return trees, commits, true
}
