package web

import (
	"strings"
	"sync"
)

// scripts are the paths of a release that are known to be files. Only what is
// there is kept: what is not, visitors can invent without end.
type scripts struct {
	mu    sync.RWMutex
	known map[string]struct{}
}

// isScript is docroot.isFile, which a release is asked only once for each path.
func (s *Server) isScript(roots *roots, p string) bool {
	if !s.immutable || s.rules.mounted(p) {
		return s.docroot.isFile(roots, p)
	}
	if s.scripts.has(p) {
		return true
	}
	if !s.docroot.isFile(roots, p) {
		return false
	}
	s.scripts.add(p)
	return true
}

func (k *scripts) has(p string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, ok := k.known[p]
	return ok
}

// add keeps a copy: p may be a part of a request's whole head.
func (k *scripts) add(p string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = make(map[string]struct{})
	}
	if len(k.known) < maxScripts {
		k.known[strings.Clone(p)] = struct{}{}
	}
}

// clear forgets everything.
func (k *scripts) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
}
