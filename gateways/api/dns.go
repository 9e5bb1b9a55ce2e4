package api

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/zone"
)

// Zones is the view of the zones; a *projections.View is one, and a
// *projections.History, which also answers ?at=.
type Zones interface {
	Load() (*zone.State, events.Position)
	Wait(ctx context.Context, position events.Position) error
}

// ZoneKeys makes the private halves of keys, outside the log, and knows what a
// roll-over waits for.
type ZoneKeys interface {
	// NewKey makes a key and gives the command that introduces it.
	NewKey(z *zone.Zone) (zones.IntroduceKey, error)
	// Forget destroys a key that was never introduced.
	Forget(z *zone.Zone, tag int) error
	// Waits says what the zone's keys are waiting for; empty for nothing.
	Waits(z *zone.Zone) string
	// DS gives the rdata of the DS record of a key.
	DS(z *zone.Zone, key zone.Key) []byte
}

// TSIGKeys keeps the secrets that transfers are authenticated with, outside
// the log.
type TSIGKeys interface {
	NewTSIG(name, algorithm string) (TSIGKey, error)
	TSIGs() []TSIGKey
	RemoveTSIG(name string) error
}

// zoneState gives the zones that a read is answered from. Every handler takes
// them here.
func (c *call) zoneState() (*zone.State, error) {
	if c.server.options.Zones == nil {
		return nil, noDNS()
	}
	return now(c, c.server.options.Zones)
}

func noDNS() error {
	return problem.New(problem.Unsupported, "cannot do this: the cell has no name server")
}

// zone gives the zone that the path names.
func (c *call) zone() (*zone.Zone, error) {
	state, err := c.zoneState()
	if err != nil {
		return nil, err
	}
	name := zoneNameOf(c.request.PathValue("zone"))
	if found := state.Named(name); found != nil {
		return found, nil
	}
	return nil, problem.New(problem.NotFound, "cannot find zone %.80q", string(name)).WithHint("pantheon dns zone list")
}

// zoneNameOf takes a name as people write it, with or without the final dot.
func zoneNameOf(text string) events.ZoneName {
	return events.ZoneName(strings.TrimSuffix(strings.ToLower(text), "."))
}

// doZone sends one command to a zone and waits until the name server answers
// by it.
func (c *call) doZone(name events.ZoneName, command any) error {
	return c.doZonePart(name, command, "")
}

// doZonePart is doZone for a request that sends several commands.
func (c *call) doZonePart(name events.ZoneName, command any, part string) error {
	if c.server.options.Zones == nil {
		return noDNS()
	}
	if _, err := events.ParseZoneName(string(name)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot use %.80q as a zone", string(name))
	}
	receipt, err := c.server.options.Commander.Do(c.request.Context(), c.meta(part), name.Stream(), command)
	if err != nil {
		return err
	}
	position := receipt.Tip.Position
	c.writer.Header().Set("X-Pantheon-Position", strconv.FormatUint(uint64(position), 10))
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	if err := c.server.options.Zones.Wait(ctx, position); err != nil {
		c.server.options.Logger.Warn("the zones are late", "id", c.id, "position", position, "error", err)
	}
	return nil
}

// partOf tells one of a request's commands from the others, in a few bytes.
func partOf(text string) string {
	sum := digest(text)
	return "/" + hex.EncodeToString(sum[:4])
}

// absolute writes a name as it stands in a zone file.
func absolute(name []byte) string {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return "?"
	}
	return text
}

func typeText(rrtype uint16) string { return dns.Type(rrtype).String() }
