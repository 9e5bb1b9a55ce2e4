package code

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pantheon/events/problem"
)

// refreshRepository fetches one branch of the upstream with all its history,
// or what is new of it.
func (s *Store) refreshRepository(ctx context.Context, place source, repository string) (origin, error) {
	remote, err := s.ask(ctx, place)
	if err != nil {
		return origin{}, err
	}
	if s.holds(ctx, repository, remote) {
		return origin{repository: repository, commit: remote.commit}, nil
	}
	if err := s.fetch(ctx, place, repository, remote); err != nil {
		return origin{}, err
	}
	out, err := s.git.run(ctx, call{repository: repository, args: []string{"rev-parse", "--verify", "--quiet", remote.ref() + "^{commit}"}})
	if err != nil {
		return origin{}, problem.Wrap(problem.Unavailable, err, "cannot read what was fetched")
	}
	if err := s.compact(ctx, repository); err != nil {
		return origin{}, err
	}
	return origin{repository: repository, commit: strings.TrimSpace(string(out))}, nil
}

// remoteBranch is a branch of an upstream as it says itself.
type remoteBranch struct{ name, commit string }

func (b remoteBranch) ref() string { return "refs/heads/" + b.name }

// ask asks the upstream for the branch: a question of a few hundred bytes that
// finds every mistake a user can make.
func (s *Store) ask(ctx context.Context, place source) (remoteBranch, error) {
	wanted := "HEAD"
	if place.branch != "" {
		wanted = "refs/heads/" + place.branch
	}
	out, err := s.git.run(ctx, call{timeout: askTimeout, args: []string{"ls-remote", "--symref", "--", place.location, wanted, "refs/heads/*"}})
	if err != nil {
		return remoteBranch{}, unreachable(place, err)
	}
	branches, head := parseRemote(string(out))
	name := place.branch
	if name == "" {
		name = head
	}
	switch {
	case branches[name] != "":
		return remoteBranch{name: name, commit: branches[name]}, checkBranch(name)
	case len(branches) == 0:
		return remoteBranch{}, problem.New(problem.Invalid, "cannot import code from %s: the repository is empty", place.location)
	case name == "":
		return remoteBranch{}, problem.New(problem.Invalid, "cannot import code from %s: its HEAD names no branch", place.location).
			WithHint("say which branch to import")
	}
	return remoteBranch{}, problem.New(problem.NotFound, "cannot import code from %s: it has no branch %s", place.location, name).
		WithHint("git ls-remote --heads %s", place.location)
}

// parseRemote reads git ls-remote --symref: "ref: <ref>\t<name>" and
// "<commit>\t<ref>".
func parseRemote(out string) (branches map[string]string, head string) {
	branches = map[string]string{}
	for line := range strings.Lines(out) {
		value, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if target, found := strings.CutPrefix(value, "ref: "); found {
			if name == "HEAD" {
				head = strings.TrimPrefix(target, "refs/heads/")
			}
			continue
		}
		if branch, found := strings.CutPrefix(name, "refs/heads/"); found && commitPattern.MatchString(value) {
			branches[branch] = value
		}
	}
	return branches, head
}

// causes tell from git's words why a remote does not answer. Who may not and
// what is not there stays so; everything else may pass.
var causes = []struct {
	words string
	kind  problem.Kind
	hint  string
}{
	{"does not appear to be a git repository", problem.NotFound, "look at the address"},
	{"repository not found", problem.NotFound, "look at the address; a private repository is not found either"},
	{"does not exist", problem.NotFound, "look at the address"},
	{"error: 404", problem.NotFound, "look at the address"},
	{"not found", problem.NotFound, "look at the address; a private repository is not found either"},
	{"not valid: is this a git repository", problem.NotFound, "look at the address"},
	{"authentication failed", problem.Denied, "the repository must be readable without a password"},
	{"could not read username", problem.Denied, "the repository must be readable without a password; one that does not exist asks for one too"},
	{"permission denied", problem.Denied, "the repository must be readable for the platform"},
	{"host key verification failed", problem.Denied, "the server's key is not the one it had before"},
	{"error: 401", problem.Denied, "the repository must be readable without a password"},
	{"error: 403", problem.Denied, "the repository must be readable without a password"},
	{"could not resolve host", problem.Unavailable, "look at the host name and at this machine's DNS"},
}

func unreachable(place source, err error) error {
	kind, hint := problem.Unavailable, "look at the address and try again"
	text := err.Error()
	if failed := (*gitError)(nil); errors.As(err, &failed) {
		text = failed.first()
		words := strings.ToLower(failed.text)
		for _, cause := range causes {
			if strings.Contains(words, cause.words) {
				kind, hint = cause.kind, cause.hint
				break
			}
		}
	}
	return problem.New(kind, "cannot import code from %s: %s", place.location, text).WithHint("%s", hint)
}

// holds says whether the branch is here already.
func (s *Store) holds(ctx context.Context, repository string, remote remoteBranch) bool {
	out, err := s.git.run(ctx, call{repository: repository, args: []string{"rev-parse", "--verify", "--quiet", remote.ref() + "^{commit}"}})
	return err == nil && strings.TrimSpace(string(out)) == remote.commit
}

func (s *Store) fetch(ctx context.Context, place source, repository string, remote remoteBranch) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() { // ends with the context
		defer close(watched)
		watchSize(ctx, filepath.Join(repository, "objects"), cancel)
	}()
	_, err := s.git.run(ctx, call{
		repository: repository,
		timeout:    fetchTimeout,
		args: []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force",
			"--", place.location, "+" + remote.ref() + ":" + remote.ref()},
	})
	cause := context.Cause(ctx)
	cancel(nil)
	<-watched
	if errors.Is(cause, errTooLarge) {
		_ = removePartial(repository)
		return problem.New(problem.Invalid, "cannot import code from %s: it has more than %d bytes", place.location, int64(MaxRepositoryBytes))
	}
	if err != nil {
		_ = removePartial(repository)
		return unreachable(place, err)
	}
	return nil
}

var errTooLarge = errors.New("the repository is too large")

// watchSize gives up a fetch that brings too much. git has no bound of its own
// for this, so it may overshoot by what arrives in one watchInterval.
func watchSize(ctx context.Context, folder string, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if treeBytes(folder) > MaxRepositoryBytes {
			cancel(errTooLarge)
			return
		}
	}
}

func treeBytes(folder string) int64 {
	var sum int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// removePartial removes what a killed git left in an upstream's repository:
// packs half-made, and locks that nobody holds, because the turn is ours and a
// git of ours dies with its platform.
func removePartial(repository string) error {
	left, err := filepath.Glob(filepath.Join(repository, "objects", "pack", "tmp_*"))
	for _, path := range left {
		err = errors.Join(err, removeTree(path))
	}
	locks, globErr := filepath.Glob(filepath.Join(repository, "*.lock"))
	walkErr := filepath.WalkDir(filepath.Join(repository, "refs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".lock") {
			locks = append(locks, path)
		}
		return err
	})
	for _, path := range locks {
		err = errors.Join(err, os.Remove(path))
	}
	if err = errors.Join(err, globErr, walkErr); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot clean up an upstream's repository")
	}
	return nil
}

// compact makes one pack of many. Sites keep the old ones, which they have by
// link.
func (s *Store) compact(ctx context.Context, repository string) error {
	count, err := packCount(repository)
	if err != nil || count <= maxUpstreamPacks {
		return err
	}
	if _, err := s.git.run(ctx, call{repository: repository, timeout: fetchTimeout, args: []string{"repack", "-a", "-d", "-q"}}); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot compact an upstream")
	}
	return nil
}
