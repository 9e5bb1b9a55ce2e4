package inventory

import (
	"slices"

	"pantheon/events"
)

func (s State) applyAccount(at when, event events.Event) State {
	switch e := event.(type) {
	case events.AccountRegistered:
		return s.putAccount(&Account{ID: e.Account, Kind: e.Kind, Name: e.Name, Email: e.Email, Created: at.meta.Time})
	case events.TokenIssued:
		return s.putToken(&Token{
			ID: e.Token, Account: e.Account, Device: e.Device, Hash: e.Hash, Issued: at.meta.Time, Expires: e.Expires,
		})
	case events.TokenRevoked:
		return s.revokeToken(e)
	case events.UpstreamAdded:
		return s.putUpstream(&Upstream{
			ID: e.Upstream, Account: e.Account, Name: e.Name, Label: e.Label, Framework: e.Framework,
			Source: e.Source, Added: at.meta.Time,
		})
	case events.UpstreamRemoved:
		return s.removeUpstream(e)
	case events.AccountForgettingRequested:
		return s.endAccount(e.Account).putForgetting(&events.Owner{Account: e.Account})
	case events.AccountForgotten:
		s.forgetting = s.forgetting.Delete(s.edit, e.Account.Stream().String())
	default: // unknown events are skipped
	}
	return s
}

func (s State) putAccount(a *Account) State {
	s.accounts = s.accounts.Set(s.edit, a.ID, a)
	s.accountNames = s.accountNames.Set(s.edit, a.Name+" "+string(a.ID), a.ID)
	return s
}

func (s State) putToken(t *Token) State {
	s.tokens = s.tokens.Set(s.edit, t.Hash, t)
	s.accounts = change(s.accounts, s.edit, t.Account, func(changed *Account) {
		changed.Tokens = added(changed.Tokens, t.Hash)
	})
	return s
}

func (s State) revokeToken(e events.TokenRevoked) State {
	account, known := s.accounts.Get(e.Account)
	if !known {
		return s
	}
	i := slices.IndexFunc(account.Tokens, func(hash string) bool { return s.tokens.At(hash).ID == e.Token })
	if i < 0 {
		return s
	}
	hash := account.Tokens[i]
	s.tokens = s.tokens.Delete(s.edit, hash)
	s.accounts = change(s.accounts, s.edit, e.Account, func(changed *Account) {
		changed.Tokens = without(changed.Tokens, hash)
	})
	return s
}

func upstreamKey(u *Upstream) string { return u.Name + " " + string(u.ID) }

func (s State) putUpstream(u *Upstream) State {
	if old, known := s.upstreams.Get(u.ID); known {
		s.upstreamKeys = s.upstreamKeys.Delete(s.edit, upstreamKey(old))
	}
	s.upstreams = s.upstreams.Set(s.edit, u.ID, u)
	s.upstreamKeys = s.upstreamKeys.Set(s.edit, upstreamKey(u), u.ID)
	s.accounts = change(s.accounts, s.edit, u.Account, func(changed *Account) {
		changed.Upstreams = added(changed.Upstreams, u.ID)
	})
	return s
}

func (s State) removeUpstream(e events.UpstreamRemoved) State {
	old, known := s.upstreams.Get(e.Upstream)
	if !known {
		return s
	}
	s.upstreams = s.upstreams.Delete(s.edit, e.Upstream)
	s.upstreamKeys = s.upstreamKeys.Delete(s.edit, upstreamKey(old))
	s.accounts = change(s.accounts, s.edit, old.Account, func(changed *Account) {
		changed.Upstreams = without(changed.Upstreams, e.Upstream)
	})
	return s
}

// endAccount takes all from an account but its record, which others refer to.
func (s State) endAccount(id events.AccountID) State {
	account, known := s.accounts.Get(id)
	if !known {
		return s
	}
	for _, hash := range account.Tokens {
		s.tokens = s.tokens.Delete(s.edit, hash)
	}
	for _, upstream := range account.Upstreams {
		s = s.removeUpstream(events.UpstreamRemoved{Account: id, Upstream: upstream})
	}
	s.accounts = change(s.accounts, s.edit, id, func(changed *Account) { changed.Tokens, changed.Ended = nil, true })
	return s
}

// putForgetting notes whose key is to be destroyed.
func (s State) putForgetting(owner *events.Owner) State {
	stream := owner.Site.Stream()
	if owner.Account != "" {
		stream = owner.Account.Stream()
	}
	s.forgetting = s.forgetting.Set(s.edit, stream.String(), *owner)
	return s
}

func (s State) applyName(at when, event events.Event) State {
	switch e := event.(type) {
	case events.NameClaimed:
		s.names = s.names.Set(s.edit, e.Name, &Name{ID: e.Name, By: e.By, Since: at.meta.Time})
	case events.NameReleased:
		if holder, known := s.names.Get(e.Name); known && holder.By == e.By {
			s.names = s.names.Delete(s.edit, e.Name)
		}
	default: // unknown events are skipped
	}
	return s
}
