package code

import (
	"bytes"
	"context"
	"io"
	"sync"

	"pantheon/events/problem"
)

// MemoryReleases are Releases in memory; the zero value is empty.
type MemoryReleases struct {
	mu   sync.Mutex
	kept map[string][]byte
}

// Put is Releases'.
func (m *MemoryReleases) Put(_ context.Context, commit string, content io.Reader) error {
	m.mu.Lock()
	_, known := m.kept[commit]
	m.mu.Unlock()
	if known {
		return nil
	}
	all, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string][]byte{}
	}
	m.kept[commit] = all
	return nil
}

// Get is Releases'.
func (m *MemoryReleases) Get(_ context.Context, commit string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, known := m.kept[commit]
	if !known {
		return nil, problem.New(problem.NotFound, "commit %.12s has not been published", commit)
	}
	return io.NopCloser(bytes.NewReader(all)), nil
}
