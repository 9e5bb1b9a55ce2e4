package keyring

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// The keys of one machine, as files for another.

// suffixes of the files in each folder.
var suffixes = map[string]string{"zones": ".private", "tsig": ".key"}

// Files gives all keys as they are kept, by folder and name: "tsig/NAMEkey".
func (r *Ring) Files() (map[string][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files()
}

func (r *Ring) files() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, folder := range []string{r.zones, r.tsig} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot read the DNS keys")
		}
		for _, entry := range entries {
			name := filepath.Base(folder) + "/" + entry.Name()
			if !isKey(name) {
				continue
			}
			if all[name], err = read(filepath.Join(folder, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func isKey(name string) bool {
	folder, base, _ := strings.Cut(name, "/")
	suffix, known := suffixes[folder]
	return known && strings.HasSuffix(base, suffix) && !strings.HasPrefix(base, ".") && !strings.ContainsAny(base, "/\x00")
}

// Install has the ring hold the keys of another machine, and no others.
func (r *Ring) Install(files map[string][]byte) error {
	for name := range files {
		if !isKey(name) {
			return problem.New(problem.Invalid, "cannot take a DNS key of this name: %.80q", name)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old, err := r.files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(filepath.Dir(r.tsig), filepath.FromSlash(name))
		if known, has := old[name]; has && bytes.Equal(known, files[name]) {
			continue
		} else if has {
			err = errors.Join(err, remove(path))
		}
		err = errors.Join(err, write(path, files[name]))
	}
	for name := range old {
		if _, stays := files[name]; !stays {
			err = errors.Join(err, remove(filepath.Join(filepath.Dir(r.tsig), filepath.FromSlash(name))))
		}
	}
	return errors.Join(err, r.reload())
}

// Reload reads the TSIG keys again, after files were changed by another hand.
func (r *Ring) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload()
}

func (r *Ring) reload() error {
	secrets, err := readSecrets(r.tsig)
	if err != nil {
		return err
	}
	r.secrets.Store(&secrets)
	return nil
}
