package code

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Mount says where the environment's files appear in a tree.
type Mount struct {
	// Path is relative to the code's root ("web/sites/default/files"), empty
	// for none. Whatever the code has there gives way to a link.
	Path string
	// Target is what the link says: "/files" in a sandbox, the real folder
	// where there is none.
	Target string
}

// MountOf joins the document root and a framework's or a setting's place of
// the files.
func MountOf(webDocroot bool, fileMount, target string) Mount {
	fileMount = strings.Trim(fileMount, "/")
	if webDocroot && fileMount != "" {
		fileMount = "web/" + fileMount
	}
	return Mount{Path: fileMount, Target: target}
}

func (m Mount) check() error {
	if err := checkMount(m.Path); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot put the files at %.80q", m.Path)
	}
	if m.Path != "" && (!filepath.IsAbs(m.Target) || len(m.Target) > maxLinkBytes || strings.ContainsRune(m.Target, 0)) {
		return problem.New(problem.Invalid, "cannot put the files at %s: their place %.80q is not an absolute path", m.Path, m.Target)
	}
	return nil
}

// release names the tree of a commit with a mount: the hash keeps trees of one
// commit with different mounts apart.
func (m Mount) release(commit string) string {
	sum := sha256.Sum256([]byte(m.Path + "\x00" + m.Target))
	return commit + "-" + hex.EncodeToString(sum[:4])
}

func (s *Store) releases(site events.SiteID) string { return filepath.Join(s.site(site), "releases") }

// Release gives the read-only tree of a commit and makes it where it is not
// there. Every user of the machine can read it; what keeps tenants apart is
// the sandbox.
func (s *Store) Release(ctx context.Context, site events.SiteID, commit string, at Mount) (string, error) {
	if err := errors.Join(checkCommit(commit), at.check()); err != nil {
		return "", err
	}
	leave, err := s.enter(ctx, site)
	if err != nil {
		return "", err
	}
	defer leave()
	dir := filepath.Join(s.releases(site), at.release(commit))
	entries, from, ready, err := s.ready(ctx, site, dir, commit, at)
	if err != nil || ready {
		return dir, err
	}
	if err := s.build(ctx, from, dir, entries, mount{at.Path, at.Target}, nil); err != nil {
		return "", err
	}
	return dir, s.stamp(dir)
}

// ready says whether the tree is there and whole. After a boot, when a power
// failure may have spoiled it, that takes a look at every file; within one
// boot its name is enough. It gives the tree's entries where it is not ready.
func (s *Store) ready(ctx context.Context, site events.SiteID, dir, commit string, at Mount) ([]treeEntry, contents, bool, error) {
	_, err := os.Lstat(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, problem.Wrap(problem.Unavailable, err, "cannot look for a release")
	}
	there := err == nil
	if boot, err := os.ReadFile(dir + stampSuffix); there && err == nil && string(boot) == s.bootID {
		return nil, nil, true, nil
	}
	entries, from, err := s.tree(ctx, site, commit)
	if err != nil {
		return nil, nil, false, err
	}
	if entries, err = (mount{at.Path, at.Target}).without(entries); err != nil {
		return nil, nil, false, err
	}
	if !there {
		return entries, from, false, nil
	}
	if s.whole(dir, entries) {
		return nil, nil, true, s.stamp(dir)
	}
	return entries, from, false, s.discard(dir)
}

func (s *Store) whole(dir string, entries []treeEntry) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	for _, entry := range entries {
		info, err := root.Lstat(entry.path)
		if err != nil || entry.mode != modeSubmodule && info.Size() != entry.size {
			return false
		}
	}
	return true
}

// stampSuffix names the file beside a release that holds the boot in which its
// content was last known to be whole.
const stampSuffix = ".boot"

func (s *Store) stamp(dir string) error {
	if err := replaceFile(dir+stampSuffix, []byte(s.bootID)); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot note that a release is whole")
	}
	return nil
}

// build makes a tree beside and puts it in its place.
func (s *Store) build(ctx context.Context, from contents, dir string, entries []treeEntry, at mount, owner *owner) error {
	fresh, err := s.fresh()
	if err != nil {
		return err
	}
	defer removeFresh(fresh)
	made := filepath.Join(fresh, "tree")
	if err := os.Mkdir(made, 0o755); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a tree of code")
	}
	root, err := os.OpenRoot(made)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a tree of code")
	}
	defer root.Close()
	s.blobsInUse.RLock()
	defer s.blobsInUse.RUnlock()
	p := &plant{root: root, store: s, from: from, made: map[string]bool{}, owner: owner}
	if err := p.grow(ctx, entries, at); err != nil {
		if problem.KindOf(err) != problem.Internal {
			return err
		}
		return problem.Wrap(problem.Unavailable, err, "cannot make a tree of code").WithHint("look at the free space and inodes of %s", s.dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a tree of code")
	}
	if err := moveTree(made, dir); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot put a tree of code in its place")
	}
	return nil
}

// Worktree gives the writable tree of an environment in SFTP mode, owned by
// its user, and makes it from the commit where it is not there. One that is
// there is given as it is: it may hold work that is not committed. It shares
// no file with anything and holds no repository: the platform commits from it
// with the site's own, out of the tenant's reach.
func (s *Store) Worktree(ctx context.Context, site events.SiteID, environment events.EnvironmentName, commit string, uid uint32, at Mount) (string, error) {
	if err := errors.Join(checkCommit(commit), at.check()); err != nil {
		return "", err
	}
	if _, err := events.ParseEnvironmentName(string(environment)); err != nil {
		return "", problem.Wrap(problem.Invalid, err, "cannot make a work tree")
	}
	leave, err := s.enter(ctx, site)
	if err != nil {
		return "", err
	}
	defer leave()
	dir := s.worktree(site, environment)
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	entries, err := s.git.list(ctx, s.Repository(site), commit)
	if err != nil {
		return "", err
	}
	place := mount{at.Path, at.Target}
	if entries, err = place.without(entries); err != nil {
		return "", err
	}
	user := &owner{uid: int(uid)}
	if os.Geteuid() != 0 {
		user.uid = os.Geteuid()
	}
	return dir, s.build(ctx, s.contentsOf(s.Repository(site)), dir, entries, place, user)
}

func (s *Store) worktree(site events.SiteID, environment events.EnvironmentName) string {
	return filepath.Join(s.site(site), "worktrees", string(environment))
}

// RemoveWorktree removes it with what was not committed. It is idempotent.
func (s *Store) RemoveWorktree(ctx context.Context, site events.SiteID, environment events.EnvironmentName) error {
	if _, err := events.ParseEnvironmentName(string(environment)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot remove a work tree")
	}
	leave, err := s.enter(ctx, site)
	if err != nil {
		return err
	}
	defer leave()
	return s.discard(s.worktree(site, environment))
}

// Collect removes the site's releases that are not among keep, which are paths
// as Release gave them. It gives the number removed.
func (s *Store) Collect(ctx context.Context, site events.SiteID, keep []string) (int, error) {
	leave, err := s.enter(ctx, site)
	if err != nil {
		return 0, err
	}
	defer leave()
	kept := map[string]bool{}
	for _, dir := range keep {
		kept[filepath.Clean(dir)] = true
	}
	entries, err := os.ReadDir(s.releases(site))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot list the releases of site %s", site)
	}
	removed := 0
	for _, entry := range entries {
		dir := filepath.Join(s.releases(site), entry.Name())
		if !entry.IsDir() || kept[dir] {
			continue
		}
		if err := s.discard(dir); err != nil {
			return removed, err
		}
		if err := os.Remove(dir + stampSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, problem.Wrap(problem.Unavailable, err, "cannot remove the stamp of a release")
		}
		removed++
	}
	return removed, nil
}

// CollectBlobs removes the shared files that no release links to any more. It
// gives the bytes freed. Call it now and then.
func (s *Store) CollectBlobs(ctx context.Context) (int64, error) {
	var freed int64
	folders, err := os.ReadDir(s.blobs())
	if err != nil {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot list the shared files")
	}
	for _, folder := range folders {
		if ctx.Err() != nil {
			return freed, problem.Wrap(problem.Unavailable, ctx.Err(), "collecting was given up")
		}
		bytes, err := s.collectFolder(filepath.Join(s.blobs(), folder.Name()))
		freed += bytes
		if err != nil {
			return freed, problem.Wrap(problem.Unavailable, err, "cannot list the shared files")
		}
	}
	return freed, nil
}

// collectFolder holds up releases for one of 256 folders at a time.
func (s *Store) collectFolder(folder string) (freed int64, err error) {
	s.blobsInUse.Lock()
	defer s.blobsInUse.Unlock()
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Sys().(*syscall.Stat_t).Nlink > 1 {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err == nil {
			freed += info.Size()
		}
	}
	return freed, err
}

// Commit is one line of a site's history.
type Commit struct {
	ID      string
	Parents []string
	Author  string
	Email   string
	Time    time.Time
	Message string // whole, without the final line end
}

// Log gives up to n commits from a revision (a branch, a tag or a commit)
// backwards; empty is the default branch.
func (s *Store) Log(ctx context.Context, site events.SiteID, revision string, n int) ([]Commit, error) {
	if _, err := events.ParseSiteID(string(site)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot read a log")
	}
	if revision == "" {
		revision = defaultBranch
	}
	if err := checkBranch(revision); err != nil {
		return nil, problem.New(problem.Invalid, "cannot read a log: %.60q is no revision", revision)
	}
	if n < 1 || n > MaxLogCommits {
		return nil, problem.New(problem.Invalid, "cannot read a log of %d commits: it may be 1 to %d", n, MaxLogCommits)
	}
	out, err := s.git.run(ctx, call{repository: s.Repository(site), args: []string{
		"log", "-z", "--max-count=" + strconv.Itoa(n), "--format=" + logFormat, "--end-of-options", revision, "--"}})
	if failed := (*gitError)(nil); errors.As(err, &failed) && strings.Contains(failed.text, "bad revision") {
		return nil, problem.New(problem.NotFound, "the code of site %s has no revision %s", site, revision)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the log of site %s", site)
	}
	return parseLog(string(out))
}

// logFormat separates fields by line ends: none of them but the message, which
// is last, can hold one.
const logFormat = "%H%n%P%n%at%n%an%n%ae%n%B"

func parseLog(out string) ([]Commit, error) {
	var commits []Commit
	for record := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		fields := strings.SplitN(record, "\n", 6)
		if len(fields) != 6 {
			return nil, problem.New(problem.Unavailable, "cannot read a commit from %.80q", record)
		}
		seconds, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, problem.New(problem.Unavailable, "cannot read a commit's time from %.80q", fields[2])
		}
		commits = append(commits, Commit{
			ID: fields[0], Parents: strings.Fields(fields[1]), Time: time.Unix(seconds, 0).UTC(),
			Author: strings.ToValidUTF8(fields[3], "?"), Email: strings.ToValidUTF8(fields[4], "?"),
			Message: strings.ToValidUTF8(strings.TrimRight(fields[5], "\n"), "?"),
		})
	}
	return commits, nil
}
