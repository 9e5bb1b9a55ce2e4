package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/clock"
)

// Clock gives the newest snapshot of the view that knows which position a time
// is; a *projections.View is one.
type Clock interface {
	Load() (clock.State, events.Position)
}

// Moment is the point of the log that an answer shows.
type Moment struct {
	Position events.Position `json:"position"`
	// Time that was asked for; where a position was, that of its commit.
	Time time.Time `json:"time"`
	// Head is the log's end now.
	Head events.Position `json:"head"`
}

// moment is what ?at= asks for; its zero value is now.
type moment struct {
	past     bool
	position events.Position
	time     time.Time
}

// momentLayouts gives the ways to write a time beside RFC 3339; what lacks a zone
// is in the reader's.
func momentLayouts() []string {
	return []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
	}
}

// ParseMoment reads a position ("1234"), a time (RFC 3339, or a date with or
// without a time of day, in the zone that is given), or how long ago it was
// ("90s", "2h30m", "3d", with or without "ago"). A date is its first instant.
// Either the position or the time is set.
func ParseMoment(text string, now time.Time, zone *time.Location) (events.Position, time.Time, error) {
	text = strings.TrimSpace(text)
	if position, err := strconv.ParseUint(text, 10, 64); err == nil {
		if position == 0 {
			return 0, time.Time{}, problem.New(problem.Invalid, "cannot show position 0: the log begins at 1")
		}
		return events.Position(position), time.Time{}, nil
	}
	if ago, ok := parseAgo(text); ok {
		return 0, now.Add(-ago), nil
	}
	for _, layout := range momentLayouts() {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			if at.After(now) {
				return 0, time.Time{}, problem.New(problem.Invalid, "cannot show %.40s: it is in the future", text)
			}
			return 0, at, nil
		}
	}
	return 0, time.Time{}, problem.New(problem.Invalid, "cannot read %.40q as a position or time", text).
		WithHint("write a position (1234), a time (2006-01-02T15:04:05Z, 2006-01-02 15:04, 2006-01-02) or how long ago (90s, 2h, 3d)")
}

// parseAgo reads a duration that may also count days and weeks.
func parseAgo(text string) (time.Duration, bool) {
	text = strings.ReplaceAll(strings.TrimSuffix(text, "ago"), " ", "")
	const day = 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if count, found := strings.CutSuffix(text, suffix); found {
			n, err := strconv.ParseUint(count, 10, 15)
			return time.Duration(n) * unit, err == nil
		}
	}
	ago, err := time.ParseDuration(text)
	return ago, err == nil && ago >= 0
}

// pastPaths are the routes that answer ?at=: all that they say is a fold of the
// log. To others the past is refused.
func pastPaths() []string {
	return []string{
		"users/{user}", "users/{user}/machine_tokens", "users/{user}/upstreams", "users/{user}/memberships/sites",
		"users/{user}/workflows", "users/{user}/workflows/{workflow}", "upstreams/{upstream}", "site-names/{name}",
		"sites/{site}", "sites/{site}/environments", "sites/{site}/environments/{env}", "sites/{site}/environments/{env}/settings",
		"sites/{site}/environments/{env}/domains", "sites/{site}/bindings", "sites/{site}/workflows",
		"sites/{site}/workflows/{workflow}", "sites/{site}/memberships/users",
		"sites", "workflows", "workflows/{workflow}", "hosts", "hosts/{host}", "host-tokens", "drops", "drops/{drop}", "bindings", "accounts",
		"routes", "routes/{host}", "events", "events/why", "moment",
		"dns/zones", "dns/zones/{zone}", "dns/zones/{zone}/text", "dns/zones/{zone}/records", "dns/zones/{zone}/secondaries", "dns/challenges",
	}
}

// goBack takes the call to the moment that its query asks for. Who asks has
// been settled by the present; what they may see is judged by what was theirs
// then.
func (c *call) goBack(rt route) error {
	query := c.request.URL.Query()
	if !query.Has("at") {
		return nil
	}
	if c.request.Method != http.MethodGet {
		return problem.New(problem.Invalid, "cannot change the past: ?at= is for reading")
	}
	if !slices.Contains(pastPaths(), rt.path) {
		return problem.New(problem.Unsupported, "cannot show the past of this: it is not in the log")
	}
	if c.who.account == "" || rt.access == operator && !c.who.operator {
		return nil // the access rule refuses it next
	}
	var err error
	if c.moment, err = c.resolve(query.Get("at")); err != nil {
		return err
	}
	if c.view.state, err = now(c, c.server.options.Inventory); err != nil {
		return err
	}
	c.view.position = c.moment.position
	c.writer.Header().Set("X-Pantheon-Position", strconv.FormatUint(uint64(c.moment.position), 10))
	c.writer.Header().Set("X-Pantheon-Time", c.moment.time.UTC().Format(time.RFC3339Nano))
	return nil
}

// resolve finds the position and time of a moment that was asked for.
func (c *call) resolve(text string) (moment, error) {
	if c.server.options.Clock == nil {
		return moment{}, problem.New(problem.Unsupported, "cannot show the past: this node keeps no history")
	}
	position, at, err := ParseMoment(text, c.server.options.Now(), time.UTC)
	if err != nil {
		return moment{}, err
	}
	times, _ := c.server.options.Clock.Load()
	if position == 0 {
		if position = times.At(at); position == 0 {
			return moment{}, beforeTheLog(text, times)
		}
		return moment{true, position, at}, nil
	}
	head, err := c.server.options.Log.Head(c.request.Context())
	if err != nil {
		return moment{}, problem.Wrap(problem.Unavailable, err, "cannot read the log's end")
	}
	if position > head {
		return moment{}, problem.New(problem.Invalid, "cannot show position %d: the log ends at %d", position, head)
	}
	at, known := times.Time(position)
	if !known {
		return moment{}, beforeTheLog(text, times)
	}
	return moment{true, position, at}, nil
}

func beforeTheLog(text string, times clock.State) error {
	first, known := times.First()
	if !known {
		return problem.New(problem.Invalid, "cannot show %.40s: the log is empty", text)
	}
	return problem.New(problem.Invalid, "cannot show %.40s: the log begins at %s", text, first.Format(time.RFC3339))
}

// now gives a view's state as of the call's moment: the newest one, or the
// past one that ?at= asks for, of a view that remembers (a
// *projections.History). Every handler reads its views through it.
func now[S any](c *call, view interface {
	Load() (S, events.Position)
}) (S, error) {
	if !c.moment.past {
		state, _ := view.Load()
		return state, nil
	}
	return stateAt(c.request.Context(), view, c.moment.position)
}

func stateAt[S any](ctx context.Context, view interface {
	Load() (S, events.Position)
}, position events.Position) (S, error) {
	remembering, can := view.(interface {
		At(ctx context.Context, position events.Position) (S, error)
	})
	if !can {
		var none S
		return none, problem.New(problem.Unsupported, "cannot show the past: this node keeps no history")
	}
	return remembering.At(ctx, position)
}

// clock gives the time as of the call's moment.
func (c *call) clock() time.Time {
	if c.moment.past {
		return c.moment.time
	}
	return c.server.options.Now()
}

// showMoment says which position and time ?at= is; the newest without it.
func showMoment(c *call) (reply, error) {
	head, err := c.server.options.Log.Head(c.request.Context())
	if err != nil {
		return reply{}, problem.Wrap(problem.Unavailable, err, "cannot read the log's end")
	}
	if !c.moment.past {
		return reply{body: Moment{Position: head, Time: c.server.options.Now().UTC(), Head: head}}, nil
	}
	return reply{body: Moment{Position: c.moment.position, Time: c.moment.time.UTC(), Head: head}}, nil
}
