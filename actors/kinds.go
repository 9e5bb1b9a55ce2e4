package actors

import (
	"iter"

	"pantheon/actors/account"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/name"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
)

// behaviour is what an Entity has to know of its kind.
type behaviour struct {
	zero   any
	decide func(state, command any) ([]events.Event, error)
	evolve func(state any, event events.Event) any
	// replay is evolve over many events, without a copy of the state for each; nil
	// where evolve is not the kind's own.
	replay func(state any, committed iter.Seq[events.Event]) any
	// addressee is the identifier that a command names itself; empty where it
	// names none.
	addressee func(command any) string
}

// kinds is THE table of actors.
var kinds = map[events.Kind]behaviour{
	events.KindSite: erase(events.KindSite, site.Decide, site.Evolve, func(c site.Command) string {
		create, _ := c.(site.Create)
		return string(create.Site)
	}),
	events.KindEnvironment: erase(events.KindEnvironment, environment.Decide, environment.Evolve, func(c environment.Command) string {
		create, _ := c.(environment.Create)
		return string(create.Environment)
	}),
	events.KindDrop: erase(events.KindDrop, drop.Decide, drop.Evolve, func(c drop.Command) string {
		request, _ := c.(drop.Request)
		return string(request.Drop)
	}),
	events.KindHost: erase(events.KindHost, host.Decide, host.Evolve, func(c host.Command) string {
		register, _ := c.(host.Register)
		return string(register.Host)
	}),
	events.KindBinding: erase(events.KindBinding, binding.Decide, binding.Evolve, func(c binding.Command) string {
		request, _ := c.(binding.Request)
		return string(request.Binding)
	}),
	events.KindWorkflow: erase(events.KindWorkflow, workflow.Decide, workflow.Evolve, func(c workflow.Command) string {
		start, _ := c.(workflow.Start)
		return string(start.Workflow)
	}),
	events.KindAccount: erase(events.KindAccount, account.Decide, account.Evolve, func(c account.Command) string {
		register, _ := c.(account.Register)
		return string(register.Account)
	}),
	events.KindName: erase(events.KindName, name.Decide, name.Evolve, func(c name.Command) string {
		switch c := c.(type) {
		case name.Claim:
			return string(c.Name)
		case name.Release:
			return string(c.Name)
		}
		return ""
	}),
	events.KindZone: erase(events.KindZone, zone.Decide, zone.Evolve, func(c zone.Command) string {
		switch c := c.(type) {
		case zone.Add:
			return string(c.Zone)
		case zone.Configure:
			return string(c.Zone)
		default: // the others name none
		}
		return ""
	}),
}

// erase makes the row of a kind whose state is S and whose commands are C.
func erase[S, C any](kind events.Kind, decide func(S, C) ([]events.Event, error), evolve func(S, events.Event) S, addressee func(C) string) behaviour {
	var zero S
	return behaviour{
		zero: zero,
		decide: func(state, command any) ([]events.Event, error) {
			c, ok := command.(C)
			if !ok {
				return nil, problem.New(problem.Invalid, "cannot carry out %T: it is no command of a %s", command, kind)
			}
			return decide(state.(S), c)
		},
		evolve: func(state any, event events.Event) any { return evolve(state.(S), event) },
		replay: func(state any, committed iter.Seq[events.Event]) any {
			s := state.(S)
			for event := range committed {
				s = evolve(s, event)
			}
			return s
		},
		addressee: func(command any) string {
			c, ok := command.(C)
			if !ok {
				return ""
			}
			return addressee(c)
		},
	}
}
