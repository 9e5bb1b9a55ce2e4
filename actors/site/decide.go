package site

import (
	"pantheon/events"
	"pantheon/events/problem"
)

// MaxLabelBytes bounds what people call the site; the original's dashboard
// showed no longer ones.
const MaxLabelBytes = 255

// MaxLocationBytes bounds a code source's location and branch each: a git URL
// is rarely longer than a path, and paths end at 4,096 bytes on Linux.
const MaxLocationBytes = 4096

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, creating := command.(Create); creating {
		return create(s, c)
	}
	if s.Phase == Nothing {
		return nil, problem.New(problem.NotFound, "cannot find the site").WithHint("pantheon site list")
	}
	switch c := command.(type) {
	case Activate:
		return activate(s)
	case RequestDeletion:
		return requestDeletion(s, c)
	case Delete:
		return remove(s)
	case Forget:
		return forget(s)
	case ReportForgotten:
		return reportForgotten(s)
	case Create: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a site has no such command", command)
}

func create(s State, c Create) ([]events.Event, error) {
	created := events.SiteCreated(c)
	if s.Phase != Nothing {
		if s.Created == created && s.Phase < Deleting {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot create site %q: site %s exists already as %q", c.Name, c.Site, s.Created.Name).WithHint("create it with a new id")
	}
	if err := check(c); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot create site %.60q", c.Name)
	}
	return []events.Event{created}, nil
}

func check(c Create) error {
	if _, err := events.ParseSiteID(string(c.Site)); err != nil {
		return err
	}
	if _, err := events.ParseSiteName(c.Name); err != nil {
		return err
	}
	if !c.Framework.Known() {
		return problem.New(problem.Invalid, "framework %.40q is not known", c.Framework).WithHint("use drupal, drupal8, wordpress, backdrop or php")
	}
	if c.Source.Location == "" {
		return problem.New(problem.Invalid, "the code source has no location")
	}
	for _, text := range []struct {
		what, text string
		max        int
	}{
		{"the label", c.Label, MaxLabelBytes},
		{"the code source's location", c.Source.Location, MaxLocationBytes},
		{"the code source's branch", c.Source.Branch, MaxLocationBytes},
		{"the owner", string(c.Owner), events.MaxIDBytes},
		{"the upstream", string(c.Upstream), events.MaxIDBytes},
	} {
		if err := events.CheckText(text.what, text.text, text.max); err != nil {
			return err
		}
	}
	return nil
}

func activate(s State) ([]events.Event, error) {
	switch s.Phase {
	case Creating:
		return []events.Event{events.SiteActivated{Site: s.Created.Site}}, nil
	case Active:
		return nil, nil
	case Nothing, Deleting, Deleted, Forgetting, Forgotten:
	}
	return nil, problem.New(problem.Conflict, "cannot activate site %q: it is being deleted", s.Created.Name)
}

func requestDeletion(s State, c RequestDeletion) ([]events.Event, error) {
	if s.Phase >= Deleting {
		return nil, nil
	}
	return []events.Event{events.SiteDeletionRequested{Site: s.Created.Site, Reason: events.Reason(c.Reason)}}, nil
}

func remove(s State) ([]events.Event, error) {
	switch s.Phase {
	case Deleting:
		return []events.Event{events.SiteDeleted{Site: s.Created.Site, Name: s.Created.Name}}, nil
	case Deleted, Forgetting, Forgotten:
		return nil, nil
	case Nothing, Creating, Active:
	}
	return nil, problem.New(problem.Conflict, "cannot delete site %q: its deletion was not requested", s.Created.Name).WithHint("pantheon site delete %s", s.Created.Name)
}

func forget(s State) ([]events.Event, error) {
	switch s.Phase {
	case Deleted:
		return []events.Event{events.SiteForgettingRequested{Site: s.Created.Site}}, nil
	case Forgetting, Forgotten:
		return nil, nil
	case Nothing, Creating, Active, Deleting:
	}
	return nil, problem.New(problem.Conflict, "cannot forget site %q: it is not deleted", s.Created.Name).WithHint("pantheon site delete %s", s.Created.Name)
}

func reportForgotten(s State) ([]events.Event, error) {
	switch s.Phase {
	case Forgetting:
		return []events.Event{events.SiteForgotten{Site: s.Created.Site}}, nil
	case Forgotten:
		return nil, nil
	case Nothing, Creating, Active, Deleting, Deleted:
	}
	return nil, problem.New(problem.Conflict, "cannot take site %q for forgotten: nobody asked for it", s.Created.Name)
}
