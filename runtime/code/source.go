package code

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// Final says that trying an import again cannot help.
func Final(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.NotFound, problem.Denied, problem.Unauthenticated, problem.Unsupported, problem.Conflict,
		problem.Exhausted:
		return true
	case problem.Internal, problem.Busy, problem.Unavailable:
		return false
	}
	return false
}

type sourceKind uint8

const (
	sourceFolder sourceKind = iota + 1
	sourceRepository
)

// source is a CodeSource that was looked at.
type source struct {
	kind     sourceKind
	location string // as git takes it, or the absolute path of a folder
	branch   string // empty: the repository's HEAD
}

var (
	schemePattern = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*):`)
	// scpPattern is git's short form of an SSH address.
	scpPattern    = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:[^:-][^:]*$`)
	branchPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]*$`)
	schemes       = []string{"https", "ssh", "git", "file"}
)

// CheckSource says why code can never be imported from a source: its form, and
// for a path what is there now. Whether a repository answers it does not ask.
func CheckSource(from events.CodeSource) error {
	_, err := lookAt(from)
	return err
}

// lookAt checks a source's form, and for a path what is there.
func lookAt(from events.CodeSource) (source, error) {
	location := from.Location
	switch {
	case location == "":
		return source{}, problem.New(problem.Invalid, "cannot import code: no place is given")
	case len(location) > maxLocationBytes:
		return source{}, problem.New(problem.Invalid, "cannot import code: the place has more than %d bytes", maxLocationBytes)
	case strings.ContainsFunc(location, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return source{}, problem.New(problem.Invalid, "cannot import code: the place has control characters")
	}
	if err := checkBranch(from.Branch); err != nil {
		return source{}, err
	}
	if filepath.IsAbs(location) {
		return lookAtPath(filepath.Clean(location), from.Branch)
	}
	if scheme := schemePattern.FindStringSubmatch(location); scheme != nil && strings.HasPrefix(location[len(scheme[0]):], "//") {
		return lookAtURL(location, strings.ToLower(scheme[1]), from.Branch)
	}
	if scpPattern.MatchString(location) {
		return source{kind: sourceRepository, location: location, branch: from.Branch}, nil
	}
	return source{}, problem.New(problem.Invalid, "cannot import code from %q: it is neither a URL nor an absolute path", location).
		WithHint("give https://…, ssh://…, git://…, or the absolute path of a repository or folder")
}

func checkBranch(branch string) error {
	if branch == "" {
		return nil
	}
	bad := len(branch) > maxBranchBytes || !branchPattern.MatchString(branch) || strings.HasSuffix(branch, "/") || strings.HasSuffix(branch, ".")
	for part := range strings.SplitSeq(branch, "/") {
		bad = bad || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") || strings.Contains(part, "..")
	}
	if bad {
		return problem.New(problem.Invalid, "cannot import code: %.60q is no branch name", branch)
	}
	return nil
}

func lookAtURL(location, scheme, branch string) (source, error) {
	if !slices.Contains(schemes, scheme) {
		return source{}, problem.New(problem.Invalid, "cannot import code over %s: only %s can be used", scheme, strings.Join(schemes, ", "))
	}
	parsed, err := url.Parse(location)
	if err != nil {
		// The parser's text quotes the URL, which may hold a password.
		return source{}, problem.New(problem.Invalid, "cannot import code: the URL is malformed")
	}
	if _, has := parsed.User.Password(); has || scheme == "https" && parsed.User != nil {
		return source{}, problem.New(problem.Invalid, "cannot import code: the URL holds a credential, which would stand in the event log").
			WithHint("give the URL without user name and password")
	}
	if scheme == "file" {
		if parsed.Host != "" && parsed.Host != "localhost" || !filepath.IsAbs(parsed.Path) {
			return source{}, problem.New(problem.Invalid, "cannot import code from %q: a file URL has an absolute path and no host", location)
		}
		return lookAtPath(filepath.Clean(parsed.Path), branch)
	}
	if parsed.Hostname() == "" || strings.HasPrefix(parsed.Hostname(), "-") || strings.HasPrefix(strings.TrimPrefix(parsed.Path, "/"), "-") {
		return source{}, problem.New(problem.Invalid, "cannot import code from %q: host or path is malformed", location)
	}
	return source{kind: sourceRepository, location: location, branch: branch}, nil
}

func lookAtPath(path, branch string) (source, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return source{}, problem.New(problem.NotFound, "cannot import code: %s does not exist", path).
			WithHint("look at the path; it is one of the machine that the code server is on")
	case errors.Is(err, fs.ErrPermission):
		return source{}, problem.New(problem.Denied, "cannot import code: the platform may not read %s", path)
	case err != nil:
		return source{}, problem.Wrap(problem.Unavailable, err, "cannot import code from %s", path)
	case !info.IsDir():
		return source{}, problem.New(problem.Invalid, "cannot import code: %s is not a folder", path).
			WithHint("give a folder or a git repository")
	}
	if isRepository(path) {
		return source{kind: sourceRepository, location: path, branch: branch}, nil
	}
	if branch != "" {
		return source{}, problem.New(problem.Invalid, "cannot import branch %s: %s is a plain folder and no git repository", branch, path).
			WithHint("leave the branch out")
	}
	return source{kind: sourceFolder, location: path}, nil
}

// isRepository recognises a bare repository and a checkout. A folder inside a
// checkout is a plain folder: somebody who names it means it.
func isRepository(path string) bool {
	if _, err := os.Stat(filepath.Join(path, ".git")); err == nil {
		return true
	}
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			return false
		}
	}
	return true
}
