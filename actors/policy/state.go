package policy

import (
	"slices"
	"strings"

	"pantheon/events"
)

// State is what the policies know. Make one with New.
type State struct {
	Hosts map[events.HostID]*hostState `json:"hosts"`
	Sites map[events.SiteID]*siteState `json:"sites"`

	// Where an identifier belongs.
	Drops     map[events.DropID]events.SiteID     `json:"drops"`
	Bindings  map[events.BindingID]events.SiteID  `json:"bindings"`
	Workflows map[events.WorkflowID]events.SiteID `json:"workflows"`

	// Strays are what a host has admitted although it is retired, or although
	// another host has it: the wish to place it was on its way meanwhile, its
	// answer was lost, or another copy of the policies chose otherwise.
	Strays map[string]stray `json:"strays"`

	// Unplaced sites have something that no host has admitted yet: they are
	// looked at again whenever a host changes.
	Unplaced map[events.SiteID]bool `json:"unplaced"`

	// HostsAt is the newest change of what hosts there are, and how they are.
	HostsAt events.Position `json:"hosts_at"`

	dirty map[events.SiteID]bool
	// refusals holds, for what could not be placed, why each host refused.
	refusals map[string]map[events.HostID]string
	index    hostIndex
	// moving are the DROPs whose place another one is to take.
	moving map[events.DropID]bool
	// unrest: something has changed since the round began that Rebalance is on;
	// round is what it has not looked at yet.
	unrest bool
	round  []events.SiteID
}

type stray struct {
	Host    events.HostID    `json:"host"`
	Drop    events.DropID    `json:"drop,omitzero"`
	Binding events.BindingID `json:"binding,omitzero"`
	At      events.Position  `json:"at"`
}

type hostState struct {
	Name      string `json:"name"`
	Zone      string `json:"zone"`
	MemoryMiB int    `json:"memory_mib"`
	Lost      bool   `json:"lost"`
	Draining  bool   `json:"draining"`
	// Closed: the machine has no role as a host, or is removed.
	Closed bool `json:"closed"`
	// Gone: it was written off, and what it held is lost.
	Gone bool `json:"gone,omitzero"`
	// PHP are the versions that it has; nil where it has not said.
	PHP []string `json:"php,omitzero"`
	// Drops and Bindings count what the host has admitted.
	Drops    map[events.DropID]bool `json:"drops"`
	Bindings int                    `json:"bindings"`
	// BindingsKiB is what is set aside for the bindings.
	BindingsKiB int64 `json:"bindings_kib"`

	indexed entry
}

type siteState struct {
	Name string `json:"name"`
	// Names are what the site's stream has claimed and not given back.
	Names    []claim `json:"names"`
	Created  bool    `json:"created"`
	Active   bool    `json:"active"`
	Deleting bool    `json:"deleting"`
	Deleted  bool    `json:"deleted"`

	Environments []*environmentState `json:"environments"`
	Drops        []*dropState        `json:"drops"`
	Bindings     []*bindingState     `json:"bindings"`
	Workflows    []*workflowState    `json:"workflows"` // running ones

	// Last is the newest commit that touched the site: the cause of what is
	// planned for it.
	Last events.Position `json:"last"`
}

// claim is a name that a site holds, and the position since which it does.
type claim struct {
	Name events.NameID   `json:"name"`
	At   events.Position `json:"at"`
}

type environmentState struct {
	Created    events.EnvironmentCreated  `json:"created"`
	Settings   events.EnvironmentSettings `json:"settings"`
	Commit     string                     `json:"commit"`
	Deployment int                        `json:"deployment"`
	Seed       int                        `json:"seed"`
	Requested  int                        `json:"requested"` // DROPs ever requested
	Deleting   bool                       `json:"deleting"`
	// Stale: its release was of a repository that is lost, and another one is in
	// its place.
	Stale bool `json:"stale,omitzero"`
}

type dropState struct {
	ID          events.DropID        `json:"id"`
	Environment events.EnvironmentID `json:"environment"`
	Host        events.HostID        `json:"host"`     // as its own stream says
	Admitted    events.HostID        `json:"admitted"` // as a host's stream says
	Spec        events.DropSpec      `json:"spec"`     // newest that a host has
	Placements  int                  `json:"placements"`
	Ready       int                  `json:"ready"` // newest generation reported ready
	Failures    int                  `json:"failures"`
	Reason      string               `json:"reason"`
	Moving      bool                 `json:"moving"`    // another one is to take its place
	MovingTo    events.HostID        `json:"moving_to"` // there, if it can
	// Balanced: that was asked for by rebalancing.
	Balanced bool `json:"balanced"`
	// Chosen: it is where an operator's move has brought it.
	Chosen   bool `json:"chosen"`
	Retiring bool `json:"retiring"`
	Awake    bool `json:"awake"`
}

type bindingState struct {
	ID          events.BindingID   `json:"id"`
	Spec        events.BindingSpec `json:"spec"`
	Host        events.HostID      `json:"host"`
	Admitted    events.HostID      `json:"admitted"`
	Provisioned bool               `json:"provisioned"`
	Code        *events.CodeFacts  `json:"code"`
	Failed      string             `json:"failed"` // reason, when final
	Failures    int                `json:"failures"`
	Reason      string             `json:"reason"`
	Retiring    bool               `json:"retiring"`
	Dismissed   bool               `json:"dismissed"` // its host removes it
	Lost        bool               `json:"lost,omitzero"`
	Renewing    bool               `json:"renewing,omitzero"` // another one shall take its place
}

type workflowState struct {
	ID      events.WorkflowID            `json:"id"`
	Started events.WorkflowStarted       `json:"started"`
	At      events.Position              `json:"at"`
	Steps   []events.WorkflowStep        `json:"steps"` // those of the way it is on
	Undoing bool                         `json:"undoing"`
	Done    map[events.WorkflowStep]bool `json:"done"`
}

// New gives the state of an empty log.
func New() *State {
	return &State{
		Hosts:     map[events.HostID]*hostState{},
		Sites:     map[events.SiteID]*siteState{},
		Drops:     map[events.DropID]events.SiteID{},
		Bindings:  map[events.BindingID]events.SiteID{},
		Workflows: map[events.WorkflowID]events.SiteID{},
		Strays:    map[string]stray{},
		Unplaced:  map[events.SiteID]bool{},
		dirty:     map[events.SiteID]bool{},
		refusals:  map[string]map[events.HostID]string{},
		index:     hostIndex{},
		moving:    map[events.DropID]bool{},
	}
}

// Apply folds one commit. Envelopes come in log order, each once.
func (s *State) Apply(envelope events.Envelope) {
	for _, event := range envelope.Events {
		id, known := s.apply(envelope, event)
		s.unrest = s.unrest || known || envelope.Stream.Kind == events.KindHost
		if known {
			s.dirty[id] = true
			s.site(id).Last = envelope.Position
		}
	}
}

// apply gives the site that the event concerns.
func (s *State) apply(envelope events.Envelope, event events.Event) (events.SiteID, bool) {
	switch envelope.Stream.Kind {
	case events.KindSite:
		return s.applySite(event)
	case events.KindEnvironment:
		return s.applyEnvironment(events.EnvironmentID(envelope.Stream.ID), event)
	case events.KindDrop:
		return s.applyDrop(events.DropID(envelope.Stream.ID), envelope.Position, event)
	case events.KindHost:
		if changesMatrix(event) {
			s.HostsAt = envelope.Position
		}
		return s.applyHost(events.HostID(envelope.Stream.ID), envelope.Position, event)
	case events.KindBinding:
		return s.applyBinding(events.BindingID(envelope.Stream.ID), envelope.Position, event)
	case events.KindWorkflow:
		return s.applyWorkflow(events.WorkflowID(envelope.Stream.ID), envelope.Position, event)
	case events.KindName:
		return s.applyName(envelope.Position, event)
	case events.KindAccount, events.KindZone:
	}
	return "", false
}

func (s *State) site(id events.SiteID) *siteState {
	known := s.Sites[id]
	if known == nil {
		known = &siteState{}
		s.Sites[id] = known
	}
	return known
}

func (s *State) applySite(event events.Event) (events.SiteID, bool) {
	switch e := event.(type) {
	case events.SiteCreated:
		s.site(e.Site).Created = true
		s.site(e.Site).Name = e.Name
		return e.Site, true
	case events.SiteActivated:
		s.site(e.Site).Active = true
		return e.Site, true
	case events.SiteDeletionRequested:
		s.site(e.Site).Deleting = true
		return e.Site, true
	case events.SiteDeleted:
		s.site(e.Site).Deleted = true
		return e.Site, true
	}
	return "", false
}

func (s *State) applyName(at events.Position, event events.Event) (events.SiteID, bool) {
	switch e := event.(type) {
	case events.NameClaimed:
		if id, ok := siteClaim(e.Name, e.By); ok && !s.site(id).holds(e.Name) {
			s.site(id).Names = append(s.site(id).Names, claim{e.Name, at})
			return id, true
		}
	case events.NameReleased:
		if id, ok := siteClaim(e.Name, e.By); ok {
			of := s.site(id)
			of.Names = slices.DeleteFunc(of.Names, func(held claim) bool { return held.Name == e.Name })
			return id, true
		}
	}
	return "", false
}

func (s *siteState) holds(name events.NameID) bool {
	return slices.ContainsFunc(s.Names, func(held claim) bool { return held.Name == name })
}

func siteClaim(name events.NameID, by string) (events.SiteID, bool) {
	kind, id, _ := strings.Cut(by, "/")
	return events.SiteID(id), kind == string(events.KindSite) && name.Space() == events.SpaceSite
}

func (s *State) applyEnvironment(id events.EnvironmentID, event events.Event) (events.SiteID, bool) {
	of := s.site(id.Site())
	if e, ok := event.(events.EnvironmentCreated); ok {
		of.Environments = append(of.Environments, &environmentState{Created: e, Settings: e.Settings, Seed: 1})
		return id.Site(), true
	}
	env := of.environment(id)
	if env == nil {
		return "", false
	}
	switch e := event.(type) {
	case events.EnvironmentSettingsChanged:
		env.Settings = e.Settings
		for _, d := range of.Drops { // what was refused was another size
			if d.Environment == id {
				delete(s.refusals, "admit/"+d.key())
			}
		}
	case events.CodeDeployed:
		env.Commit, env.Deployment, env.Stale = e.Commit, e.Deployment, false
	case events.SeedRotated:
		env.Seed = e.Generation
	case events.EnvironmentDeletionRequested:
		env.Deleting = true
	case events.EnvironmentDeleted:
		of.Environments = slices.DeleteFunc(of.Environments, func(x *environmentState) bool { return x == env })
	}
	return id.Site(), true
}

func (s *siteState) environment(id events.EnvironmentID) *environmentState {
	for _, env := range s.Environments {
		if env.Created.Environment == id {
			return env
		}
	}
	return nil
}

func (s *State) applyDrop(id events.DropID, at events.Position, event events.Event) (events.SiteID, bool) {
	if e, ok := event.(events.DropRequested); ok {
		of := s.site(e.Environment.Site())
		of.Drops = append(of.Drops, &dropState{ID: id, Environment: e.Environment})
		if env := of.environment(e.Environment); env != nil {
			env.Requested++
		}
		s.Drops[id] = e.Environment.Site()
		return e.Environment.Site(), true
	}
	siteID, of, d := s.dropOf(id)
	if d == nil {
		return "", false
	}
	switch e := event.(type) {
	case events.DropPlaced:
		d.Host, d.Awake = e.Host, false
	case events.DropDisplaced:
		d.Host, d.Ready, d.Moving, d.MovingTo, d.Awake, d.Chosen = "", 0, false, "", false, false
		delete(s.moving, id)
	case events.DropMoveRequested:
		d.Moving, d.MovingTo, d.Balanced = true, e.To, strings.HasPrefix(e.Reason, rebalanceReason)
		s.moving[id] = true
	case events.DropReady:
		d.Ready, d.Failures = e.Generation, 0
	case events.DropPrepareFailed:
		d.Failures++
		d.Reason = e.Reason
	case events.DropRetirementRequested:
		d.Retiring = true
	case events.DropRetired:
		if d.Admitted != "" { // by a host that was asked before and answered late
			s.Strays[string(d.Admitted)+string(id)] = stray{Host: d.Admitted, Drop: id, At: at}
		}
		of.Drops = slices.DeleteFunc(of.Drops, func(x *dropState) bool { return x == d })
		delete(s.Drops, id)
		delete(s.moving, id)
	case events.DropAwoke: // asks nothing of others, like sleep
		d.Awake = true
		return "", false
	case events.DropSlept, events.DropCrashed:
		d.Awake = false
		return "", false
	default:
		return "", false
	}
	return siteID, true
}

func (s *State) dropOf(id events.DropID) (events.SiteID, *siteState, *dropState) {
	siteID, known := s.Drops[id]
	if !known {
		return "", nil, nil
	}
	of := s.site(siteID)
	for _, d := range of.Drops {
		if d.ID == id {
			return siteID, of, d
		}
	}
	return siteID, of, nil
}

func (s *State) applyBinding(id events.BindingID, at events.Position, event events.Event) (events.SiteID, bool) {
	if e, ok := event.(events.BindingRequested); ok {
		of := s.site(e.Spec.Site)
		of.Bindings = append(of.Bindings, &bindingState{ID: id, Spec: e.Spec})
		s.Bindings[id] = e.Spec.Site
		return e.Spec.Site, true
	}
	siteID, of, b := s.bindingOf(id)
	if b == nil {
		return "", false
	}
	switch e := event.(type) {
	case events.BindingPlaced:
		b.Host = e.Host
	case events.BindingProvisioned:
		if e.Code != nil && !b.Provisioned && id != BindingIDOf(events.CodeServer, string(siteID)) {
			for _, env := range of.Environments {
				env.Stale = env.Commit != "" && env.Commit != e.Code.Commit
			}
		}
		b.Provisioned, b.Code, b.Failed, b.Failures = true, e.Code, "", 0
	case events.BindingFailed:
		b.Failures++
		if b.Reason = e.Reason; e.Final {
			b.Failed = e.Reason
		}
	case events.BindingLost:
		b.Lost = true
		if b.Admitted != "" && b.Admitted != e.Host { // by one that was asked when this one's answer was late
			s.Strays[string(b.Admitted)+string(id)] = stray{Host: b.Admitted, Binding: id, At: at}
		}
	case events.BindingRenewalRequested:
		b.Renewing = true
	case events.BindingRetirementRequested:
		b.Retiring = true
	case events.BindingRetired:
		if b.Admitted != "" && !b.Dismissed && !b.Lost {
			s.Strays[string(b.Admitted)+string(id)] = stray{Host: b.Admitted, Binding: id, At: at}
		}
		of.Bindings = slices.DeleteFunc(of.Bindings, func(x *bindingState) bool { return x == b })
		delete(s.Bindings, id)
	}
	return siteID, true
}

func (s *State) bindingOf(id events.BindingID) (events.SiteID, *siteState, *bindingState) {
	siteID, known := s.Bindings[id]
	if !known {
		return "", nil, nil
	}
	of := s.site(siteID)
	for _, b := range of.Bindings {
		if b.ID == id {
			return siteID, of, b
		}
	}
	return siteID, of, nil
}

func (s *State) applyWorkflow(id events.WorkflowID, at events.Position, event events.Event) (events.SiteID, bool) {
	if e, ok := event.(events.WorkflowStarted); ok {
		of := s.site(e.Site)
		of.Workflows = append(of.Workflows, &workflowState{ID: id, Started: e, At: at, Steps: e.Steps, Done: map[events.WorkflowStep]bool{}})
		s.Workflows[id] = e.Site
		return e.Site, true
	}
	siteID, known := s.Workflows[id]
	if !known {
		return "", false
	}
	of := s.site(siteID)
	i := slices.IndexFunc(of.Workflows, func(w *workflowState) bool { return w.ID == id })
	if i < 0 {
		return "", false
	}
	w := of.Workflows[i]
	switch e := event.(type) {
	case events.WorkflowStepDone:
		w.Done[e.Step] = true
	case events.WorkflowStepFailed:
		w.Steps, w.Undoing, w.Done = e.Undo, true, map[events.WorkflowStep]bool{}
	case events.WorkflowSucceeded, events.WorkflowFailed:
		of.Workflows = slices.Delete(of.Workflows, i, i+1)
		delete(s.Workflows, id)
	}
	return siteID, true
}

// applyHost folds a host's decisions. Any change of what a host can take lets
// every unplaced thing be looked at again.
func (s *State) applyHost(id events.HostID, at events.Position, event events.Event) (events.SiteID, bool) {
	h := s.Hosts[id]
	if h == nil {
		h = &hostState{Drops: map[events.DropID]bool{}}
		s.Hosts[id] = h
	}
	defer func() { s.index.update(id, h) }()
	switch e := event.(type) {
	case events.HostRegistered:
		h.Name, h.Zone, h.MemoryMiB = e.Name, e.Zone, e.MemoryMiB
		s.hostsChanged()
	case events.HostRolesChanged:
		h.Closed = !slices.Contains(e.Roles, events.RoleHost)
		s.hostsChanged()
	case events.HostSoftwareChanged:
		s.phpChanged(h, e.PHP)
	case events.HostReturned:
		h.Lost = false
		s.hostsChanged()
	case events.HostLost:
		h.Lost = true
		s.lookAt(h)
	case events.HostDrainRequested:
		h.Draining = true
		s.lookAt(h)
	case events.HostDrainEnded:
		h.Draining = false
		s.lookAt(h)
		s.hostsChanged()
	case events.HostRemoved:
		h.Closed = true
	case events.HostWrittenOff:
		s.writeOff(id, h)
	case events.DropAdmitted:
		h.Drops[e.Drop] = true
		if _, _, d := s.dropOf(e.Drop); d == nil || (d.Admitted != "" && d.Admitted != id) {
			s.Strays[string(id)+string(e.Drop)] = stray{Host: id, Drop: e.Drop, At: at}
			return "", false
		}
		return s.admitted(e.Drop, id, e.Spec)
	case events.DropSpecChanged:
		return s.admitted(e.Drop, id, e.Spec)
	case events.DropDismissed:
		delete(h.Drops, e.Drop)
		delete(s.Strays, string(id)+string(e.Drop))
		s.hostsChanged()
		if siteID, _, d := s.dropOf(e.Drop); d != nil && d.Admitted == id {
			d.Admitted = ""
			d.Placements++
			return siteID, true
		}
	case events.BindingAdmitted:
		h.count(1, e.Spec)
		if siteID, _, b := s.bindingOf(e.Binding); b != nil && (b.Admitted == "" || b.Admitted == id) {
			b.Admitted = id
			return siteID, true
		}
		s.Strays[string(id)+string(e.Binding)] = stray{Host: id, Binding: e.Binding, At: at}
	case events.BindingDismissed:
		h.count(-1, e.Spec)
		delete(s.Strays, string(id)+string(e.Binding))
		s.hostsChanged()
		if siteID, _, b := s.bindingOf(e.Binding); b != nil && b.Admitted == id {
			b.Dismissed = true
			return siteID, true
		}
	}
	return "", false
}

func (h *hostState) count(n int, spec events.BindingSpec) {
	h.Bindings += n
	h.BindingsKiB += int64(n) * spec.ReservationKiB()
}

// changesMatrix tells what is about a host from what is about the things on it.
func changesMatrix(event events.Event) bool {
	switch event.(type) {
	case events.HostRegistered, events.HostRolesChanged, events.HostSoftwareChanged, events.HostLost, events.HostReturned, events.HostDrainRequested,
		events.HostDrainEnded, events.HostRemoved, events.HostWrittenOff:
		return true
	}
	return false
}

func (s *State) admitted(id events.DropID, on events.HostID, spec events.DropSpec) (events.SiteID, bool) {
	siteID, of, d := s.dropOf(id)
	if d == nil || (d.Admitted != "" && d.Admitted != on) {
		return "", false
	}
	if d.Admitted == "" {
		d.Chosen = slices.ContainsFunc(of.Drops, func(old *dropState) bool {
			return old.Environment == d.Environment && old.Moving && !old.Balanced && (old.MovingTo == "" || old.MovingTo == on)
		})
	}
	delete(s.Strays, string(on)+string(id)) // another host had it, and has given it up
	d.Admitted, d.Spec = on, spec
	return siteID, true
}

// writeOff takes everything from a host that is gone for good. Its DROPs are as
// dismissed; of its bindings those that were not recorded as placed there can be
// placed elsewhere, and the others are lost.
func (s *State) writeOff(id events.HostID, h *hostState) {
	h.Closed, h.Gone = true, true
	for of := range h.Drops {
		if siteID, _, d := s.dropOf(of); d != nil && d.Admitted == id {
			d.Admitted = ""
			d.Placements++
			s.dirty[siteID] = true
		}
	}
	h.Drops, h.Bindings = map[events.DropID]bool{}, 0
	for siteID, of := range s.Sites {
		for _, b := range of.Bindings {
			if b.Admitted == id && b.Host == "" {
				b.Admitted = ""
			}
			if b.Admitted == id || b.Host == id || b.Admitted == "" {
				s.dirty[siteID] = true
			}
		}
	}
	for key, one := range s.Strays {
		if one.Host == id {
			delete(s.Strays, key)
		}
	}
	s.hostsChanged()
}

// lookAt has the sites of a host's DROPs planned.
func (s *State) lookAt(h *hostState) {
	for d := range h.Drops {
		s.dirty[s.Drops[d]] = true
	}
}

func (s *State) hostsChanged() {
	clear(s.refusals)
	for id := range s.Unplaced {
		s.dirty[id] = true
	}
}
