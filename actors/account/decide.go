package account

import (
	"regexp"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// Bounds of an account.
const (
	// MaxTokens that are live: one a device and one a pipeline of a big team.
	MaxTokens = 1000
	// MaxInvitations ever made; the stream holds them for good.
	MaxInvitations = 10_000
	// MaxUpstreams that are offered.
	MaxUpstreams = 1000
	// MaxTextBytes bounds names, labels, devices and mail addresses (RFC 5321
	// §4.5.3.1 allows an address 254).
	MaxTextBytes = 255
	// MaxLocationBytes bounds a code source's location and branch each.
	MaxLocationBytes = 4096
)

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, registering := command.(Register); registering {
		return register(s, c)
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the account")
	}
	switch command.(type) {
	case Forget:
		return forget(s)
	case ReportForgotten:
		return reportForgotten(s)
	default: // needs an account that has not ended
	}
	if s.Ended {
		return nil, ended()
	}
	switch c := command.(type) {
	case IssueToken:
		return issueToken(s, c)
	case RevokeToken:
		token, known := s.Tokens[c.Token]
		switch {
		case !known:
			return nil, problem.New(problem.NotFound, "cannot find token %.40q", c.Token)
		case token.Revoked:
			return nil, nil
		}
		return []events.Event{events.TokenRevoked{Account: s.Registered.Account, Token: c.Token}}, nil
	case AddUpstream:
		return addUpstream(s, c)
	case RemoveUpstream:
		upstream, known := s.Upstreams[c.Upstream]
		switch {
		case !known:
			return nil, problem.New(problem.NotFound, "cannot find upstream %.40q", c.Upstream).WithHint("pantheon upstream list")
		case upstream.Removed:
			return nil, nil
		}
		return []events.Event{events.UpstreamRemoved{Account: s.Registered.Account, Upstream: c.Upstream}}, nil
	case Invite:
		return invite(s, c)
	case UseInvitation:
		return useInvitation(s, c)
	case RevokeInvitation:
		return revokeInvitation(s, c)
	case Register, Forget, ReportForgotten: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: an account has no such command", command)
}

func register(s State, c Register) ([]events.Event, error) {
	registered := events.AccountRegistered(c)
	switch {
	case s.Ended:
		return nil, ended()
	case s.Registered == registered:
		return nil, nil
	case s.exists():
		return nil, problem.New(problem.Conflict, "cannot register account %s: it exists already", c.Account)
	case c.Kind != events.AccountUser && c.Kind != events.AccountOperator:
		return nil, problem.New(problem.Invalid, "cannot register account %.40q: its kind %.40q is neither user nor operator", c.Account, c.Kind)
	case c.Name == "":
		return nil, problem.New(problem.Invalid, "cannot register account %.40q: it has no name", c.Account)
	case c.Email != "" && !strings.Contains(c.Email, "@"):
		return nil, problem.New(problem.Invalid, "cannot register account %.40q: %.60q is no mail address", c.Account, c.Email)
	}
	if _, err := events.ParseStreamID(c.Account.Stream().String()); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot register the account")
	}
	if err := checkTexts(c.Name, c.Email); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot register account %s", c.Account)
	}
	return []events.Event{registered}, nil
}

func ended() error {
	return problem.New(problem.Conflict, "cannot use the account: it has ended and is forgotten")
}

// forget ends the account. The operator's cannot end: the cell is its.
func forget(s State) ([]events.Event, error) {
	if s.Registered.Kind == events.AccountOperator {
		return nil, problem.New(problem.Conflict, "cannot forget the account of the cell's operator")
	}
	if s.Ended {
		return nil, nil
	}
	return []events.Event{events.AccountForgettingRequested{Account: s.Registered.Account}}, nil
}

func reportForgotten(s State) ([]events.Event, error) {
	switch {
	case !s.Ended:
		return nil, problem.New(problem.Conflict, "cannot take the account for forgotten: nobody asked for it")
	case s.Forgotten:
		return nil, nil
	}
	return []events.Event{events.AccountForgotten{Account: s.Registered.Account}}, nil
}

func issueToken(s State, c IssueToken) ([]events.Event, error) {
	issued := events.TokenIssued{Account: s.Registered.Account, Token: c.Token, Device: c.Device, Hash: c.Hash, Expires: c.Expires.Round(0)}
	if token, known := s.Tokens[c.Token]; known {
		same := token.Issued.Expires.Equal(issued.Expires)
		issued.Expires = token.Issued.Expires
		if same && token.Issued == issued && !token.Revoked {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot issue token %s: it was issued before", c.Token)
	}
	if c.Token == "" || !hashPattern.MatchString(c.Hash) {
		return nil, problem.New(problem.Invalid, "cannot issue token %.40q: it needs an id and a SHA-256 in hexadecimal", c.Token)
	}
	if err := checkTexts(string(c.Token), c.Device); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot issue token %.40q", c.Token)
	}
	live := 0
	for _, token := range s.Tokens {
		if !token.Revoked {
			live++
		}
	}
	if live >= MaxTokens {
		return nil, problem.New(problem.Conflict, "cannot issue a token: the account has %d", live).WithHint("revoke one first")
	}
	return []events.Event{issued}, nil
}

func addUpstream(s State, c AddUpstream) ([]events.Event, error) {
	added := events.UpstreamAdded{Account: s.Registered.Account, Upstream: c.Upstream, Name: c.Name, Label: c.Label, Framework: c.Framework, Source: c.Source}
	old, known := s.Upstreams[c.Upstream]
	if known && !old.Removed && old.Added == added {
		return nil, nil
	}
	if c.Once && known {
		return nil, nil
	}
	if err := checkUpstream(c); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot add upstream %.60q", c.Name)
	}
	live := 0
	for id, upstream := range s.Upstreams {
		if upstream.Removed || id == c.Upstream {
			continue
		}
		if upstream.Added.Name == c.Name && c.Once {
			return nil, nil
		}
		if upstream.Added.Name == c.Name {
			return nil, problem.New(problem.Conflict, "cannot add upstream %q: the name is taken", c.Name).WithHint("choose another name, or remove the upstream that has it")
		}
		live++
	}
	if live >= MaxUpstreams {
		return nil, problem.New(problem.Conflict, "cannot add an upstream: the account offers %d", live).WithHint("remove one first")
	}
	return []events.Event{added}, nil
}

func checkUpstream(c AddUpstream) error {
	if _, err := events.ParseSiteName(c.Name); err != nil {
		return problem.New(problem.Invalid, "its name must be lower-case letters, digits and dashes, at most %d", events.MaxNameBytes)
	}
	switch {
	case c.Upstream == "":
		return problem.New(problem.Invalid, "it has no id")
	case !c.Framework.Known():
		return problem.New(problem.Invalid, "framework %.40q is not known", c.Framework).WithHint("use drupal, drupal8, wordpress, backdrop or php")
	case c.Source.Location == "":
		return problem.New(problem.Invalid, "its code source has no location")
	}
	for _, text := range []string{c.Source.Location, c.Source.Branch} {
		if err := events.CheckText("its code source", text, MaxLocationBytes); err != nil {
			return err
		}
	}
	return checkTexts(string(c.Upstream), c.Label)
}

func checkTexts(texts ...string) error {
	for _, text := range texts {
		if err := events.CheckText("a text", text, MaxTextBytes); err != nil {
			return err
		}
	}
	return nil
}
