package api

import (
	"context"
	"strconv"

	"pantheon/events"
)

// do sends one command and waits until the inventory shows its effect, then
// renews the call's snapshot: the answer is made of what the command has done.
func (c *call) do(to events.StreamID, command any) error {
	return c.doPart(to, command, "")
}

// doPart is do for a request that sends several commands: part tells them
// apart, in a few bytes: a command id has 128 in all.
func (c *call) doPart(to events.StreamID, command any, part string) error {
	receipt, err := c.server.options.Commander.Do(c.request.Context(), c.meta(part), to, command)
	if err != nil {
		return err
	}
	position := receipt.Tip.Position
	c.writer.Header().Set("X-Pantheon-Position", strconv.FormatUint(uint64(position), 10))
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	// The command is carried out and durable: a view that is late is no reason
	// to say otherwise. The client has the position and can look again.
	if err := c.server.options.Inventory.Wait(ctx, position); err != nil {
		c.server.options.Logger.Warn("the inventory is late", "id", c.id, "position", position, "error", err)
	}
	c.look()
	return nil
}

// catchUp has the view show what was committed up to now, if that is known soon.
func (c *call) catchUp() {
	ctx, cancel := context.WithTimeout(c.request.Context(), viewTimeout)
	defer cancel()
	head, err := c.server.options.Log.Head(ctx)
	if err == nil {
		err = c.server.options.Inventory.Wait(ctx, head)
	}
	if err != nil {
		c.server.options.Logger.Info("the inventory may be late", "id", c.id, "error", err)
	}
	c.look()
}

// meta says who asks for a command.
func (c *call) meta(part string) events.Meta {
	return events.Meta{
		Command:   c.command + events.CommandID(part),
		Principal: "account/" + string(c.who.account),
		Gateway:   c.who.gateway,
		Address:   c.who.address,
		Time:      c.server.options.Now().UTC(),
	}
}

// look takes the newest snapshot.
func (c *call) look() {
	c.view.state, c.view.position = c.server.options.Inventory.Load()
}
