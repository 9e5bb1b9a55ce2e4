package vault

import "bytes"

// base is what a file and the vault had in common when they last met.
type base struct {
	Revision uint64 `json:"revision"`
	Digest   []byte `json:"digest"` // of the content, keyed: see sealer.digest
}

// situation is what decides about one file of a Mirror.
type situation struct {
	// first: this machine has never met the vault.
	first bool
	// base is nil where there was no file, or no meeting.
	base *base
	// local is the digest of the file, nil where there is none.
	local []byte
	// remote is that of the vault's secret, nil where it has none.
	remote   []byte
	revision uint64 // of the secret or its tombstone, 0 where there never was one
}

// action is what to do about it.
type action uint8

const (
	nothing action = iota
	adopt          // both sides are the same: note it
	forget         // both sides have nothing: note it
	push           // write the file's content over the vault's revision
	retract        // put a tombstone over the vault's revision
	install        // write the vault's content to the file
	erase          // remove the file
)

// merge decides. What was changed on one side goes to the other. Where both
// have changed since they met, the vault wins, because who wrote it was first;
// lost says that a change of this machine goes. What the vault has no trace of
// is put in.
func merge(s situation) (do action, lost bool) {
	changed := s.local != nil && (s.base == nil || !bytes.Equal(s.local, s.base.Digest))
	met := s.base != nil && s.base.Revision == s.revision && bytes.Equal(s.base.Digest, s.remote)
	switch {
	case s.remote != nil && bytes.Equal(s.local, s.remote):
		if met && !changed {
			return nothing, false
		}
		return adopt, false
	case s.remote != nil && met && s.local == nil:
		return retract, false
	case s.remote != nil && met:
		return push, false
	case s.remote != nil:
		return install, changed
	case s.local == nil && s.base == nil:
		return nothing, false
	case s.local == nil:
		return forget, false
	case s.revision == 0:
		return push, false
	case s.base == nil && !s.first:
		return push, false // made after the removal of another one, or without knowing of it
	}
	return erase, changed
}
