package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pantheon/actors/binding"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

func listEnvironments(c *call) (reply, error) {
	environments := make(map[events.EnvironmentName]Environment)
	for _, environment := range c.view.state.Environments(c.site.id) {
		environments[environment.Name] = c.environmentRecord(environment)
	}
	return reply{body: environments}, nil
}

func showEnvironment(c *call) (reply, error) {
	environment, known := c.view.state.Environment(c.environment)
	if !known {
		return reply{}, problem.New(problem.NotFound, "cannot find environment %s any more", c.environment.Name())
	}
	record := c.environmentRecord(environment)
	record.Losses = losses(c.view.state, environment.ID)
	return reply{body: record}, nil
}

func (c *call) environmentRecord(environment *inventory.Environment) Environment {
	record := c.view.environmentRecord(environment)
	record.DNSZone = c.server.options.Domain
	for _, drop := range c.view.state.Drops(environment.ID) {
		record.Drops = append(record.Drops, c.dropRecord(drop))
	}
	record.URL = c.server.options.PublicURL(c.platformDomain(environment.ID))
	return record
}

// platformDomain is the host name that every environment has.
func (c *call) platformDomain(id events.EnvironmentID) string {
	return string(id.Name()) + "-" + c.site.name + "." + c.server.options.Domain
}

func showSettings(c *call) (reply, error) {
	settings, initialized := c.view.settings(c.environment)
	return reply{body: Settings{Initialized: initialized, EnvironmentSettings: settings}}, nil
}

func changeSettings(c *call) (reply, error) {
	if _, err := c.initialized(); err != nil {
		return reply{}, err
	}
	var change environment.SettingsChange // what is absent stays
	if err := c.decode(&change); err != nil {
		return reply{}, err
	}
	if change.PHPVersion != nil {
		if err := c.checkPHP(*change.PHPVersion); err != nil {
			return reply{}, err
		}
	}
	if err := c.do(c.environment.Stream(), environment.ChangeSettings{Change: change}); err != nil {
		return reply{}, err
	}
	return showSettings(c)
}

// checkPHP refuses a version of PHP that no host has. What is no version at all, the
// environment's actor refuses.
func (c *call) checkPHP(version string) error {
	if check := c.server.options.CheckPHP; check != nil {
		return check(version)
	}
	var there []string
	hosts := 0
	for _, h := range c.view.state.Hosts() {
		switch {
		case !hasRole(h, events.RoleHost):
			continue
		case h.PHP == nil || slices.Contains(h.PHP, version): // or it has not said
			return nil
		}
		hosts++
		there = append(there, h.PHP...)
	}
	if hosts == 0 || len(version) > host.MaxPHPVersionBytes || strings.Trim(version, "0123456789.") != "" || !strings.Contains(version, ".") {
		return nil
	}
	slices.Sort(there)
	hint := fmt.Sprintf("apt-get install php%[1]s-fpm php%[1]s-cli php%[1]s-opcache on one of them, and wait a minute", version)
	if there = slices.Compact(there); len(there) > 0 {
		hint = fmt.Sprintf("there is %s, pantheon host list shows where; or %s", strings.Join(there, ", "), hint)
	}
	return problem.New(problem.Conflict, "cannot run sites with PHP %s: no host has it", version).WithHint("%s", hint)
}

// initialized gives the environment's settings, or says that it has none yet.
func (c *call) initialized() (events.EnvironmentSettings, error) {
	settings, initialized := c.view.settings(c.environment)
	if !initialized {
		return settings, problem.New(problem.Conflict, "cannot do this: environment %s of site %s is not initialized",
			c.environment.Name(), c.site.name).WithHint("it has no code yet: pantheon env list %s shows those that have", c.site.name)
	}
	return settings, nil
}

func showVariables(c *call) (reply, error) {
	if c.server.options.Variables == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot show variables: this node does not hold the sites' keys")
	}
	if _, err := c.initialized(); err != nil {
		return reply{}, err
	}
	variables, err := c.server.options.Variables.Variables(c.request.Context(), c.environment)
	return reply{body: variables}, err
}

func listDomains(c *call) (reply, error) {
	return reply{body: []Domain{{
		ID: c.platformDomain(c.environment), Type: "platform", Status: "ok",
		DNSDetails: DNSStatus{Records: []struct{}{}},
	}}}, nil
}

// showCodeLog labels each commit with the environments that run it or one
// after it: such a commit has been deployed there.
func showCodeLog(c *call) (reply, error) {
	if c.server.options.CodeLog == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot show the code log: this node does not hold the sites' code")
	}
	commits, err := c.server.options.CodeLog.CodeLog(c.request.Context(), c.site.id, maxPageItems)
	if err != nil {
		return reply{}, err
	}
	deployed := make(map[string]string)
	for _, environment := range c.view.state.Environments(c.site.id) {
		if environment.Commit != "" {
			deployed[string(environment.Name)] = environment.Commit
		}
	}
	labels := []string{}
	for i := range commits {
		for name, commit := range deployed {
			if commit == commits[i].Hash {
				labels = append(labels[:len(labels):len(labels)], name)
			}
		}
		commits[i].Labels = labels
	}
	return reply{body: commits}, nil
}

func wakeEnvironment(c *call) (reply, error) {
	return c.orderDrops(func(id events.DropID) any { return host.OrderWake{Drop: id} })
}

func sleepEnvironment(c *call) (reply, error) {
	return c.orderDrops(func(id events.DropID) any { return host.OrderSleep{Drop: id} })
}

// renewEnvironment asks for empty services in the place of those that were lost
// with their host: the environment's own, and the code of its site.
func renewEnvironment(c *call) (reply, error) {
	if _, err := c.initialized(); err != nil {
		return reply{}, err
	}
	renewed := 0
	for _, b := range c.view.state.SiteBindings(c.site.id) {
		if b.Status != inventory.Lost || b.Environment != "" && b.Environment != c.environment {
			continue
		}
		if err := c.doPart(b.ID.Stream(), binding.Renew{}, "/"+string(b.ID[:8])); err != nil {
			return reply{}, err
		}
		renewed++
	}
	if renewed == 0 {
		return reply{}, problem.New(problem.Conflict, "cannot renew environment %s of site %s: nothing of it is lost",
			c.environment.Name(), c.site.name).WithHint("pantheon binding list %s", c.site.name)
	}
	return showEnvironment(c)
}

// orderDrops sends an order to the host of each of the environment's DROPs.
// The answer shows them as they were before: the hosts' facts follow.
func (c *call) orderDrops(order func(events.DropID) any) (reply, error) {
	if _, err := c.initialized(); err != nil {
		return reply{}, err
	}
	drops := c.view.state.Drops(c.environment)
	ordered := 0
	for _, drop := range drops {
		if drop.Host == "" {
			continue
		}
		if err := c.doPart(drop.Host.Stream(), order(drop.ID), "/"+string(drop.ID[:8])); err != nil {
			return reply{}, err
		}
		ordered++
	}
	if ordered == 0 {
		return reply{}, problem.New(problem.Unavailable, "cannot do this: no host has a DROP of environment %s of site %s yet",
			c.environment.Name(), c.site.name).WithHint("pantheon drop list %s.%s", c.site.name, c.environment.Name())
	}
	records := make([]Drop, len(drops))
	for i, drop := range drops {
		records[i] = c.view.dropRecord(drop)
	}
	return reply{status: http.StatusAccepted, body: records}, nil
}
