package api

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// Diff is what changed between two moments, by object.
type Diff struct {
	From    Moment       `json:"from"`
	To      Moment       `json:"to"`
	Changes []DiffObject `json:"changes"`
	// More: there are more changes than are shown.
	More bool `json:"more,omitzero"`
}

// DiffObject is one object that differs.
type DiffObject struct {
	Kind   string      `json:"kind"` // site, environment, …, route
	ID     string      `json:"id"`
	Name   string      `json:"name"`   // as people know it
	Change string      `json:"change"` // added, removed or changed
	Fields []DiffField `json:"fields"`
}

// DiffField is one field of it: "settings.php_version". Old is absent where
// the field was not there, New where it is not any more.
type DiffField struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old,omitzero"`
	New   json.RawMessage `json:"new,omitzero"`
}

// diffKinds gives the kinds of object in the order of a diff.
func diffKinds() []string {
	return []string{"account", "token", "upstream", "site", "environment", "drop", "binding", "host", "workflow", "name", "route", "record"}
}

// showDiff answers ?from= and ?to= (the newest without it), of one kind of
// object with ?kind=.
func showDiff(c *call) (reply, error) {
	query := c.request.URL.Query()
	kinds, err := queriedKinds(query)
	if err != nil {
		return reply{}, err
	}
	from, err := c.resolve(query.Get("from"))
	if err != nil {
		return reply{}, err
	}
	head, err := c.server.options.Log.Head(c.request.Context())
	if err != nil {
		return reply{}, problem.Wrap(problem.Unavailable, err, "cannot read the log's end")
	}
	to := moment{true, head, c.server.options.Now()}
	if query.Has("to") {
		if to, err = c.resolve(query.Get("to")); err != nil {
			return reply{}, err
		}
	}
	if from.position > to.position {
		return reply{}, problem.New(problem.Invalid, "cannot show what changed: %s comes after %s", query.Get("from"), cmp.Or(query.Get("to"), "now")).
			WithHint("the earlier moment is --from")
	}
	diff := Diff{
		From:    Moment{Position: from.position, Time: from.time.UTC(), Head: head},
		To:      Moment{Position: to.position, Time: to.time.UTC(), Head: head},
		Changes: []DiffObject{},
	}
	if err := c.compare(&diff, kinds); err != nil {
		return reply{}, err
	}
	order := diffKinds()
	slices.SortFunc(diff.Changes, func(a, b DiffObject) int {
		return cmp.Or(slices.Index(order, a.Kind)-slices.Index(order, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return reply{body: diff}, nil
}

func queriedKinds(query url.Values) ([]string, error) {
	if len(query["kind"]) == 0 {
		return diffKinds(), nil
	}
	for _, kind := range query["kind"] {
		if !slices.Contains(diffKinds(), kind) {
			return nil, problem.New(problem.Invalid, "cannot compare objects of kind %.40q: there is none", kind).
				WithHint("kinds are %s", strings.Join(diffKinds(), ", "))
		}
	}
	return query["kind"], nil
}

// compare fills in the changes of the wanted kinds.
func (c *call) compare(diff *Diff, kinds []string) error {
	ctx, from, to := c.request.Context(), diff.From.Position, diff.To.Position
	if c.server.options.Zones != nil && slices.Contains(kinds, "record") {
		if err := c.compareNames(diff); err != nil {
			return err
		}
	}
	before, err := stateAt(ctx, c.server.options.Inventory, from)
	if err != nil {
		return err
	}
	after, err := stateAt(ctx, c.server.options.Inventory, to)
	if err != nil {
		return err
	}
	for change := range before.Changes(after) {
		if slices.Contains(kinds, change.Kind) && !diff.add(change.Kind, change.ID, namer{before, after}.name(change), change.Before, change.After) {
			return nil
		}
	}
	if c.server.options.Routing == nil || !slices.Contains(kinds, "route") {
		return nil
	}
	then, err := stateAt(ctx, c.server.options.Routing, from)
	if err != nil {
		return err
	}
	later, err := stateAt(ctx, c.server.options.Routing, to)
	if err != nil {
		return err
	}
	for change := range then.Changes(later) {
		var old, young any
		if change.Before != nil {
			old = change.Before
		}
		if change.After != nil {
			young = change.After
		}
		if !diff.add("route", change.Host, change.Host, old, young) {
			return nil
		}
	}
	return nil
}

// compareNames adds what the name server answered otherwise.
func (c *call) compareNames(diff *Diff) error {
	ctx := c.request.Context()
	before, err := stateAt(ctx, c.server.options.Zones, diff.From.Position)
	if err != nil {
		return err
	}
	after, err := stateAt(ctx, c.server.options.Zones, diff.To.Position)
	if err != nil {
		return err
	}
	diff.compareZones(before, after)
	return nil
}

// add takes an object, unless its records say the same; false when there are
// too many.
func (d *Diff) add(kind, id, name string, before, after any) bool {
	object := DiffObject{Kind: kind, ID: id, Name: name, Change: "changed", Fields: diffFields(before, after)}
	switch {
	case before == nil:
		object.Change = "added"
	case after == nil:
		object.Change = "removed"
	case len(object.Fields) == 0:
		return true
	}
	if len(d.Changes) == maxDiffObjects {
		d.More = true
		return false
	}
	d.Changes = append(d.Changes, object)
	return true
}

// diffFields compares two records field by field, as they are written in JSON.
// The time of the last change is left out: it changes with everything.
func diffFields(before, after any) []DiffField {
	old, young := flatten(before), flatten(after)
	names := slices.Collect(maps.Keys(old))
	for name := range young {
		if _, both := old[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fields := []DiffField{}
	for _, name := range names {
		if string(old[name]) != string(young[name]) && name != "changed" {
			fields = append(fields, DiffField{name, old[name], young[name]})
		}
	}
	return fields
}

// flatten gives a record's fields, those of objects inside it by their path.
func flatten(record any) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	if record == nil {
		return fields
	}
	text, err := jsonv2.Marshal(record, jsonv2.Deterministic(true))
	if err != nil {
		return fields // a record of our own can be written
	}
	flattenInto(fields, "", text)
	return fields
}

func flattenInto(fields map[string]json.RawMessage, path string, text json.RawMessage) {
	var members map[string]json.RawMessage
	if !strings.HasPrefix(string(text), "{") || json.Unmarshal(text, &members) != nil {
		fields[path] = text
		return
	}
	for name, value := range members {
		if path != "" {
			name = path + "." + name
		}
		flattenInto(fields, name, value)
	}
}

// namer finds the names of objects, in the later state where they are there.
type namer struct{ before, after inventory.State }

func (n namer) name(change inventory.Change) string {
	record := change.After
	if record == nil {
		record = change.Before
	}
	switch r := record.(type) {
	case *inventory.Site:
		return r.Name
	case *inventory.Environment:
		return r.SiteName + "." + string(r.Name)
	case *inventory.Drop:
		return n.environment(r.Environment)
	case *inventory.Binding:
		if r.Environment == "" {
			return n.site(r.Site) + " " + string(r.Kind)
		}
		return n.environment(r.Environment) + " " + string(r.Kind)
	case *inventory.Host:
		return r.Name
	case *inventory.Workflow:
		return r.Description
	case *inventory.Account:
		return r.Name
	case *inventory.Token:
		return r.Device
	case *inventory.Upstream:
		return r.Name
	}
	return change.ID
}

func (n namer) site(id events.SiteID) string {
	for _, state := range []inventory.State{n.after, n.before} {
		if site, known := state.Site(id); known {
			return site.Name
		}
	}
	return string(id)
}

func (n namer) environment(id events.EnvironmentID) string {
	return n.site(id.Site()) + "." + string(id.Name())
}
