package main

import (
	"context"

	"pantheon/events"
)

// warmUpstreams fetches the code of every upstream before a site wants it: the
// first site of an upstream then takes as long as the thousandth. It goes on
// with upstreams that are added until ctx ends. A source that cannot be had is
// tried again when a site asks for it, who is told.
func (p *platform) warmUpstreams(ctx context.Context) error {
	state, position := p.inventory.Load()
	var known []events.CodeSource
	for upstream := range state.Upstreams() {
		known = append(known, upstream.Source)
	}
	for _, source := range known {
		p.warmUpstream(ctx, source)
	}
	for envelope, err := range p.log.Tail(ctx, position) {
		if err != nil {
			return err
		}
		for _, event := range envelope.Events {
			if added, ok := event.(events.UpstreamAdded); ok {
				p.warmUpstream(ctx, added.Source)
			}
		}
	}
	return ctx.Err()
}

func (p *platform) warmUpstream(ctx context.Context, source events.CodeSource) {
	if err := p.machine.code.Warm(ctx, openSource(source, p.box.Open)); err != nil && ctx.Err() == nil {
		p.options.logger.Info("cannot fetch the code of an upstream ahead of its first site", "error", err)
	}
}
