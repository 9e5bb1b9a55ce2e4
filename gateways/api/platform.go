package api

func showHealth(c *call) (reply, error) {
	return reply{body: Health{Status: "ok", Position: c.view.position}}, nil
}

func showVersion(c *call) (reply, error) {
	return reply{body: Version{Version: c.server.options.Version}}, nil
}

// emptyObject and emptyList answer what Terminus asks for on its way and this
// version has nothing of: SSH keys, payment methods, organisations.
func emptyObject(*call) (reply, error) { return reply{body: struct{}{}}, nil }

func emptyList(*call) (reply, error) { return reply{body: []struct{}{}}, nil }
