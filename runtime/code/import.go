package code

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/durable"
)

// Imported is a site's repository after its import.
type Imported struct {
	// Commit is the head of the default branch.
	Commit string
	// WebDocroot: the commit's pantheon.yml says so.
	WebDocroot bool
	// Notes say what of a folder was left out or changed; at most MaxNotes.
	// They are told by the import that did it and not again.
	Notes []string
}

// Import makes the site's repository from the source, with all its history
// where it has one. A site that has a repository keeps it. Final says of an
// error whether trying again can help.
func (s *Store) Import(ctx context.Context, site events.SiteID, from events.CodeSource) (Imported, error) {
	leave, err := s.enter(ctx, site)
	if err != nil {
		return Imported{}, err
	}
	defer leave()
	repository := s.Repository(site)
	if _, err := os.Stat(repository); err == nil {
		return s.imported(ctx, repository, nil)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Imported{}, problem.Wrap(problem.Unavailable, err, "cannot look for the code of site %s", site)
	}
	place, err := lookAt(from)
	if err != nil {
		return Imported{}, err
	}
	origin, err := s.refresh(ctx, place)
	if err != nil {
		return Imported{}, err
	}
	fresh, err := s.fresh()
	if err != nil {
		return Imported{}, err
	}
	defer removeFresh(fresh)
	made := filepath.Join(fresh, "repository.git")
	if err := s.inherit(ctx, origin, made); err != nil {
		return Imported{}, err
	}
	result, err := s.imported(ctx, made, origin.notes)
	if err != nil {
		return Imported{}, err
	}
	return result, s.install(made, repository)
}

// Warm does ahead of time what all sites of a source share, fetching it and
// writing its files, so that the import and the release of a site take
// milliseconds. It also says what is wrong with a source before a site depends
// on it.
func (s *Store) Warm(ctx context.Context, from events.CodeSource) error {
	place, err := lookAt(from)
	if err != nil {
		return err
	}
	ready, err := s.refresh(ctx, place)
	if err != nil {
		return err
	}
	entries, err := s.git.list(ctx, ready.repository, ready.commit)
	if err != nil {
		return err
	}
	s.blobsInUse.RLock()
	defer s.blobsInUse.RUnlock()
	files := slices.DeleteFunc(entries, func(entry treeEntry) bool { return entry.mode == modeLink || entry.mode == modeSubmodule })
	if err := s.fillBlobs(ctx, s.contentsOf(ready.repository), files); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the files of %s", place.location)
	}
	return nil
}

// install puts a finished repository in its place, durably.
func (s *Store) install(made, repository string) error {
	parent := filepath.Dir(repository)
	err := errors.Join(os.MkdirAll(parent, 0o711), durable.SyncTree(made))
	if err == nil {
		err = moveTree(made, repository)
	}
	if err == nil {
		err = errors.Join(durable.Sync(parent), durable.Sync(s.dir))
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot put the repository in its place")
	}
	return nil
}

func (s *Store) imported(ctx context.Context, repository string, notes []string) (Imported, error) {
	head, err := s.git.head(ctx, repository)
	if err != nil {
		return Imported{}, err
	}
	settings, err := s.settingsOf(ctx, repository, head)
	if err != nil {
		return Imported{}, err
	}
	return Imported{Commit: head, WebDocroot: settings.WebDocroot, Notes: notes}, nil
}

// origin is one commit of one upstream's repository.
type origin struct {
	repository string
	commit     string
	notes      []string
}

// refresh brings the upstream's repository up to date. Sites that come from
// the same place wait for each other here, and then share its packs.
func (s *Store) refresh(ctx context.Context, place source) (origin, error) {
	sum := sha256.Sum256([]byte(place.location))
	name := hex.EncodeToString(sum[:16])
	leave, err := s.turns.take(ctx, "upstream "+name)
	if err != nil {
		return origin{}, err
	}
	defer leave()
	repository := filepath.Join(s.upstreams(), name+".git")
	if err := s.initialise(ctx, repository); err != nil {
		return origin{}, err
	}
	switch place.kind {
	case sourceFolder:
		return s.refreshFolder(ctx, place, repository)
	case sourceRepository:
		return s.refreshRepository(ctx, place, repository)
	}
	return origin{}, problem.New(problem.Internal, "internal error: source of no kind")
}

// initialise makes the upstream's empty repository, or clears what a kill left
// in the one that is there.
func (s *Store) initialise(ctx context.Context, repository string) error {
	if _, err := os.Stat(repository); err == nil {
		return removePartial(repository)
	}
	fresh, err := s.fresh()
	if err != nil {
		return err
	}
	defer removeFresh(fresh)
	made := filepath.Join(fresh, "repository.git")
	if err := s.git.init(ctx, made); err != nil {
		return err
	}
	if err := moveTree(made, repository); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot put a repository in its place")
	}
	return nil
}

// refreshFolder makes a commit of the folder unless it is the same as at the
// last time.
func (s *Store) refreshFolder(ctx context.Context, place source, repository string) (origin, error) {
	content, err := readFolder(ctx, place.location)
	if err != nil {
		return origin{}, err
	}
	content.configure()
	fingerprint, err := content.fingerprint()
	if err != nil {
		return origin{}, problem.Wrap(problem.Unavailable, err, "cannot import %s", place.location)
	}
	ref := "refs/imports/" + fingerprint
	out, err := s.git.run(ctx, call{repository: repository, args: []string{"rev-parse", "--verify", "--quiet", ref + "^{commit}"}})
	if err == nil {
		return origin{repository: repository, commit: strings.TrimSpace(string(out)), notes: content.notes}, nil
	}
	err = s.git.makeCommit(ctx, repository, ref, commit{
		message: "Import of " + place.location,
		files:   content.files,
		when:    time.Now(),
	})
	if err != nil {
		return origin{}, problem.Wrap(problem.Unavailable, err, "cannot import %s", place.location)
	}
	out, err = s.git.run(ctx, call{repository: repository, args: []string{"rev-parse", "--verify", "--quiet", ref + "^{commit}"}})
	if err != nil {
		return origin{}, problem.Wrap(problem.Unavailable, err, "cannot import %s", place.location)
	}
	return origin{repository: repository, commit: strings.TrimSpace(string(out)), notes: content.notes}, nil
}

// inherit makes a site's repository from a commit of an upstream's: its packs
// by hard link, its default branch at the commit.
func (s *Store) inherit(ctx context.Context, from origin, repository string) error {
	if err := s.git.init(ctx, repository); err != nil {
		return err
	}
	packs, err := filepath.Glob(filepath.Join(from.repository, "objects", "pack", "pack-*"))
	if err != nil {
		return problem.Wrap(problem.Internal, err, "cannot list the packs of an upstream")
	}
	to := filepath.Join(repository, "objects", "pack")
	for _, pack := range packs {
		if strings.HasSuffix(pack, ".keep") {
			continue
		}
		if err := os.Link(pack, filepath.Join(to, filepath.Base(pack))); err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot share the history of an upstream")
		}
	}
	if _, err := s.git.run(ctx, call{repository: repository, args: []string{"update-ref", defaultRef, from.commit}}); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the default branch")
	}
	return s.addWordPressConfig(ctx, repository, from.commit)
}

// addWordPressConfig adds a commit with the platform's wp-config.php where a
// repository holds WordPress without one.
func (s *Store) addWordPressConfig(ctx context.Context, repository, parent string) error {
	args := []string{"ls-tree", "-z", "--full-tree", "--name-only", parent, "--"}
	for _, root := range documentRoots {
		first, second := wordPress.in(root)
		args = append(args, first, second, path.Join(root, wpConfig))
	}
	out, err := s.git.run(ctx, call{repository: repository, args: args})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot look for WordPress")
	}
	there := map[string]bool{}
	for name := range strings.SplitSeq(string(out), "\x00") {
		there[name] = true
	}
	var added []file
	for _, root := range documentRoots {
		first, second := wordPress.in(root)
		config := path.Join(root, wpConfig)
		if there[first] && there[second] && !there[config] {
			added = append(added, file{path: config, mode: modeFile, content: platformConfig, size: int64(len(platformConfig))})
		}
	}
	if len(added) == 0 {
		return nil
	}
	err = s.git.makeCommit(ctx, repository, defaultRef, commit{message: configMessage, parent: parent, files: added, when: time.Now()})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot add %s", wpConfig)
	}
	return nil
}

// packCount counts the packs of a repository.
func packCount(repository string) (int, error) {
	packs, err := filepath.Glob(filepath.Join(repository, "objects", "pack", "pack-*.pack"))
	if err != nil {
		return 0, fmt.Errorf("cannot list packs: %w", err)
	}
	return len(packs), nil
}
