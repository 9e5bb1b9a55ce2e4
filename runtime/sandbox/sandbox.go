package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"pantheon/events/problem"
)

// Options configure a Machine.
type Options struct {
	// Parent is the cgroup under which all sandboxes of this machine are,
	// slash-separated: "pantheon/<host id>". Two agents of one machine need
	// two.
	Parent string
	// Bare asks for no isolation although there could be: for tests of that
	// mode.
	Bare bool
}

// Machine starts sandboxes. It is safe for concurrent use and holds nothing
// that must be closed.
type Machine struct {
	isolated bool
	groups   hierarchy // nil where not isolated
	landlock bool      // the kernel can scope abstract sockets
}

var (
	parentPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
)

// Open looks at the machine. As root it insists on everything that isolation
// needs: a machine that silently isolates less is worse than one that refuses.
func Open(o Options) (*Machine, error) {
	if o.Bare || os.Getuid() != 0 {
		return &Machine{}, nil
	}
	if !parentPattern.MatchString(o.Parent) {
		return nil, problem.New(problem.Invalid, "cgroup parent %q is not valid", o.Parent)
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the cgroup mounts")
	}
	groups, err := findHierarchy(mounts, o.Parent)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot isolate: cgroups are not usable").
			WithHint("mount cgroup v2 with the controllers memory, cpu and pids at /sys/fs/cgroup, or run without root")
	}
	return &Machine{isolated: true, groups: groups, landlock: landlockScopes()}, nil
}

// Isolated says whether sandboxes of this machine are sandboxes.
func (m *Machine) Isolated() bool { return m.isolated }

// Command is what to run and where.
type Command struct {
	// Name is the sandbox's name: one process tree at a time. A tree that an
	// earlier process left under the same name is killed first.
	Name string
	// Path is the program, absolute, as seen from inside (a supervised one may
	// be a name that is looked for in PATH); Args are its
	// arguments without the name.
	Path string
	Args []string
	// Env is the whole environment, "NAME=value".
	Env []string
	// Dir is the working folder, as seen from inside.
	Dir string
	// Files become the descriptors 0, 1, 2 …; nil is /dev/null.
	Files []*os.File
	// UID and GID are those of the environment; where there is no isolation
	// they are used if the caller is root.
	UID, GID uint32
	Root     Root
	Limits   Limits
	// Hostname is what the sandbox calls itself.
	Hostname string
	// Terminal makes descriptor 0 the controlling terminal.
	Terminal bool
	// Supervised puts a shell in the place of process 1, so that the command
	// keeps the usual meaning of signals and no orphan becomes a zombie. For
	// php-fpm, which is made to be process 1, it would only cost time.
	Supervised bool
}

// Root is the tree that the command sees. It is not used where there is no
// isolation.
type Root struct {
	// Dir is a folder of the host with the mount points of all binds, made by
	// MakeRoot. It is shown read-only.
	Dir   string
	Binds []Bind
}

// Bind shows a folder or a file of the host at a place of the root.
type Bind struct {
	Source, Target string
	Writable       bool
	// NoExec forbids to execute what is in it.
	NoExec bool
	// Optional: a source that does not exist is left out.
	Optional bool
	// Follows: what is mounted on the source later, or taken away from it, where
	// that is a shared mount, is so here too.
	Follows bool
}

func (c *Command) check(isolated bool) error {
	switch {
	case len(c.Name) > MaxNameBytes || !namePattern.MatchString(c.Name):
		return problem.New(problem.Invalid, "sandbox name %.140q is not valid", c.Name)
	case !path.IsAbs(c.Path) && !c.Supervised || !path.IsAbs(c.Dir):
		return problem.New(problem.Invalid, "program %q and working folder %q must be absolute", c.Path, c.Dir)
	case len(c.Files) > MaxFiles:
		return problem.New(problem.Invalid, "%d files are more than the %d a command may have", len(c.Files), MaxFiles)
	case len(c.Root.Binds) > MaxBinds:
		return problem.New(problem.Invalid, "%d binds are more than the %d a root may have", len(c.Root.Binds), MaxBinds)
	case isolated && (c.UID == 0 || c.GID == 0):
		return problem.New(problem.Internal, "internal error: a sandbox cannot run as root")
	case isolated && c.Root.Dir == "":
		return problem.New(problem.Internal, "internal error: a sandbox needs a root")
	}
	return nil
}

// supervised gives program and arguments with the shell in front. The shell
// waits, so it ends with the status of the command: 128 and its number for a
// signal.
func (c *Command) supervised() (string, []string) {
	if !c.Supervised {
		return c.Path, c.Args
	}
	const script = `"$@"; exit $?`
	return "/bin/sh", append([]string{"-c", script, "sandbox", c.Path}, c.Args...)
}

// Start starts the command and returns when it executes.
func (m *Machine) Start(c Command) (*Process, error) {
	if err := c.check(m.isolated); err != nil {
		return nil, err
	}
	if len(c.Files) < 3 {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		for len(c.Files) < 3 {
			c.Files = append(c.Files[:len(c.Files):len(c.Files)], null)
		}
	}
	if !m.isolated {
		return startBare(&c)
	}
	g, err := m.groups.create(c.Name, c.Limits)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot start %s", path.Base(c.Path))
	}
	p, err := m.startIsolated(&c, g)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, errors.Join(err, destroy(g)), "cannot start %s", path.Base(c.Path))
	}
	return p, nil
}

// Sweep ends what runs in sandboxes of this machine under names that are not
// kept, and removes their cgroups.
func (m *Machine) Sweep(keep func(name string) bool) error {
	if !m.isolated {
		return nil
	}
	names, err := m.groups.names()
	if err != nil {
		return fmt.Errorf("cannot list sandboxes: %w", err)
	}
	var errs []error
	for _, name := range names {
		if !keep(name) {
			errs = append(errs, destroy(m.groups.open(name)))
		}
	}
	return errors.Join(errs...)
}

// MakeRoot makes the folder of a root: the mount points of its binds and of
// what every sandbox has, the system's links at the top (/bin to usr/bin …),
// and the given files. Paths are as seen from inside; a file whose text begins
// with "→" is a link to the rest. It is idempotent, and replaces files by
// rename, so a sandbox that runs on the root sees old or new, never half.
func MakeRoot(dir string, binds []Bind, files map[string]string) error {
	for _, sub := range []string{"dev", "proc", "tmp", "run", "usr", "etc", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, b := range binds {
		if _, err := os.Stat(b.Source); b.Optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := makeMountPoint(filepath.Join(dir, b.Target), b.Source); err != nil {
			return fmt.Errorf("cannot make mount point %s: %w", b.Target, err)
		}
	}
	for name, text := range files {
		if err := MakeFile(filepath.Join(dir, name), text); err != nil {
			return fmt.Errorf("cannot make file %s: %w", name, err)
		}
	}
	return nil
}

func makeMountPoint(target, source string) error {
	info, err := os.Stat(source)
	if errors.Is(err, os.ErrNotExist) || (err == nil && info.IsDir()) {
		return os.MkdirAll(target, 0o755)
	}
	if err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	return MakeFile(target, "")
}

// MakeFile writes one file or link as MakeRoot does.
func MakeFile(target, text string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	link, isLink := strings.CutPrefix(text, "→")
	if isLink {
		if now, err := os.Readlink(target); err == nil && now == link {
			return nil
		}
	} else if now, err := os.ReadFile(target); err == nil && string(now) == text {
		return nil
	}
	temporary := target + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	var err error
	if isLink {
		err = os.Symlink(link, temporary)
	} else {
		err = os.WriteFile(temporary, []byte(text), 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

// SystemBinds are the system's programs and the parts of /etc that they need,
// none of which tells anything about the host's users or services. links are
// top-level links as the host has them, for MakeRoot.
func SystemBinds() (binds []Bind, links map[string]string) {
	binds = []Bind{{Source: "/usr", Target: "/usr"}}
	links = map[string]string{}
	for _, top := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		target, err := os.Readlink("/" + top)
		if err == nil {
			links["/"+top] = "→" + target
		} else if info, err := os.Lstat("/" + top); err == nil && info.IsDir() {
			binds = append(binds, Bind{Source: "/" + top, Target: "/" + top})
		}
	}
	for _, file := range []string{
		"ld.so.cache", "localtime", "resolv.conf", "alternatives", "ssl/certs", "ssl/openssl.cnf", "fonts",
		"mime.types", "protocols", "services", "ImageMagick-6", "magic", "magic.mime", "gitconfig",
	} {
		binds = append(binds, Bind{Source: "/etc/" + file, Target: "/etc/" + file, NoExec: true, Optional: true})
	}
	return binds, links
}

// Close removes the machine's own cgroups where no sandbox runs any more;
// otherwise, and where there is no isolation, it does nothing. A machine that
// is not closed loses nothing.
func (m *Machine) Close() error {
	if !m.isolated {
		return nil
	}
	return m.groups.close()
}
