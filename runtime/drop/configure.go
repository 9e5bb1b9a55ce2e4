package drop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/sandbox"
)

// Paths are a DROP's places on the host.
type Paths struct {
	Drop events.DropID
	// Dir is the DROP's own folder, <data>/hosts/<id>/drops/<drop>.
	Dir string
	Places
}

// Places are what a generation of a DROP finds on the host.
type Places struct {
	// Code is the release's folder, Files that of the environment's files.
	Code, Files string
	// DatabaseSocket is the database server's unix socket, alone in its
	// folder: a sandbox gets the folder, so that a restart of the server,
	// which makes the socket anew, reaches DROPs that are awake.
	DatabaseSocket string
}

// Socket is where php-fpm answers while the DROP is awake.
func (p Paths) Socket() string { return filepath.Join(p.Dir, "run", "php.sock") }

func (p Paths) sub(elements ...string) string {
	return filepath.Join(append([]string{p.Dir}, elements...)...)
}

// Config is everything that a spec means for the processes of a DROP.
type Config struct {
	Layout contract.Layout
	// Docroot is the folder the web sees, as PHP sees it.
	Docroot string
	// Folders of the host, to be made in this order.
	Folders []Folder
	Root    sandbox.Root
	// Files by their path as PHP sees it; a text that begins with "→" is a
	// link. None holds a secret.
	Files map[string]string
	// Program and Args of php-fpm, without its socket.
	Program string
	Args    []string
	// Env is that of php-fpm, CommandEnv that of any other command.
	Env, CommandEnv []string
	Limits          sandbox.Limits
	Hostname        string
	// Warm is the program and the arguments that fill the opcode cache.
	Warm []string
}

// Folder is a folder of the host.
type Folder struct {
	Path string
	Mode uint32
	// Owned: it belongs to the environment's user.
	Owned bool
}

// Configure turns a spec into a configuration. It is pure.
func Configure(spec events.DropSpec, paths Paths, secrets contract.Secrets, php PHP, isolated bool) (Config, error) {
	if err := checkConfigure(spec, paths); err != nil {
		return Config{}, err
	}
	b := builder{spec: spec, paths: paths, php: php, isolated: isolated, layout: contract.Sandboxed(paths.Drop)}
	if !isolated {
		b.layout = bareLayout(paths)
	}
	b.cache = paths.sub("cache", cacheKey(spec, php))
	b.cacheInside = "/var/cache/opcache"
	if !isolated {
		b.cacheInside = b.cache
	}
	env := contract.Strings(contract.Environment(contract.Site{
		Drop: paths.Drop, Spec: spec, Layout: b.layout, Secrets: secrets,
	}))
	c := Config{
		Layout: b.layout, Docroot: b.layout.Docroot(spec), Folders: b.folders(), Files: b.files(),
		Program: php.FPM, Args: []string{"--nodaemonize", "-c", b.ini("fpm"), "--fpm-config", b.etc("fpm", "php-fpm.conf")},
		Env: env, CommandEnv: env, Limits: b.limits(),
		Hostname: string(spec.Environment.Name()) + "-" + spec.SiteName,
		Warm:     b.warm(),
	}
	if isolated {
		c.Root = sandbox.Root{Dir: paths.sub("root"), Binds: b.binds()}
	} else {
		c.Env = append(slices.Clip(env), "PHP_INI_SCAN_DIR=")
		c.CommandEnv = append(slices.Clip(env), "PHP_INI_SCAN_DIR=", "PHPRC="+b.ini("cli"))
	}
	return c, nil
}

func checkConfigure(spec events.DropSpec, paths Paths) error {
	if _, err := events.ParseDropID(string(paths.Drop)); err != nil {
		return problem.Wrap(problem.Internal, err, "internal error: no DROP can be configured")
	}
	for _, p := range []string{paths.Dir, paths.Code, paths.Files} {
		if !filepath.IsAbs(p) || strings.ContainsAny(p, "\"\n$;") {
			return problem.New(problem.Invalid, "folder %q cannot be used: it must be absolute, without quotation marks, line ends, $ and ;", p)
		}
	}
	if spec.UID == 0 {
		return problem.New(problem.Internal, "internal error: environment %s has no user id", spec.Environment)
	}
	return nil
}

// builder holds what the parts of a configuration have in common.
type builder struct {
	spec     events.DropSpec
	paths    Paths
	php      PHP
	isolated bool
	layout   contract.Layout
	// cache is the opcode cache of this release on the host, cacheInside the
	// same as PHP sees it.
	cache, cacheInside string
}

// bareLayout is the layout without a sandbox: the real folders.
func bareLayout(p Paths) contract.Layout {
	return contract.Layout{
		Home: p.sub("home"), Code: p.Code, Files: p.Files, Tmp: p.sub("tmp"), Certs: p.sub("certs"), Logs: p.sub("logs"),
		Includes: p.sub("etc", "includes"), Spool: p.sub("spool", "purge"), DatabaseSocket: p.DatabaseSocket,
	}
}

// cacheKey changes with everything that may stand behind an unchanged path:
// in git mode PHP does not look at the time stamps of files.
func cacheKey(spec events.DropSpec, php PHP) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%s\n%s\n%s\n", spec.Commit, spec.Settings.Connection, php.Version, contract.Prepend, contract.DrupalProvider)
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// etc gives the path of a configuration file of PHP as PHP sees it; in a
// sandbox that is where Debian's PHP looks by itself.
func (b *builder) etc(elements ...string) string {
	if b.isolated {
		return path.Join(append([]string{"/etc/php", b.php.Version}, elements...)...)
	}
	return b.paths.sub(append([]string{"etc"}, elements...)...)
}

func (b *builder) ini(sapi string) string { return b.etc(sapi, "php.ini") }

func (b *builder) writable() bool { return b.spec.Settings.Connection == events.ConnectionSFTP }

func (b *builder) workers() int {
	if b.spec.Settings.Workers <= 0 {
		return DefaultWorkers
	}
	return min(b.spec.Settings.Workers, MaxWorkers)
}

func (b *builder) limits() sandbox.Limits {
	memory := b.spec.Settings.MemoryMiB
	if memory <= 0 {
		memory = DefaultMemoryMiB
	}
	return sandbox.Limits{
		MemoryBytes: int64(memory) << 20, CPUShares: cpuShares, PIDs: basePIDs + workerPIDs*b.workers(),
	}
}

func (b *builder) folders() []Folder {
	p := b.paths
	return []Folder{
		{p.Dir, 0o711, false},
		{p.sub("run"), 0o700, false}, // the agent's own: never in a sandbox
		{p.sub("tmp"), 0o700, true},
		{filepath.Join(p.sub("tmp"), path.Base(b.layout.RollingTmp(b.spec))), 0o700, true},
		{p.sub("logs"), 0o755, true},
		{p.sub("logs", "php"), 0o755, true},
		{p.sub("logs", "nginx"), 0o755, true},
		{p.sub("certs"), 0o700, true},
		{p.sub("spool"), 0o700, true},
		{p.sub("cache"), 0o711, false},
		{b.cache, 0o700, true},
	}
}

func (b *builder) binds() []sandbox.Bind {
	binds, _ := sandbox.SystemBinds()
	p := b.paths
	binds = append(binds,
		sandbox.Bind{Source: p.Code, Target: "/code", Writable: b.writable()},
		sandbox.Bind{Source: p.Files, Target: "/files", Writable: true, Follows: true}, // another host's are mounted anew
		sandbox.Bind{Source: p.sub("tmp"), Target: "/tmp", Writable: true},
		sandbox.Bind{Source: p.sub("logs"), Target: "/logs", Writable: true, NoExec: true},
		sandbox.Bind{Source: p.sub("certs"), Target: "/certs", NoExec: true},
		sandbox.Bind{Source: p.sub("spool"), Target: "/run/pantheon", Writable: true, NoExec: true},
		sandbox.Bind{Source: b.cache, Target: b.cacheInside, Writable: true, NoExec: true},
	)
	if p.DatabaseSocket != "" {
		binds = append(binds, sandbox.Bind{
			Source: filepath.Dir(p.DatabaseSocket), Target: path.Dir(b.layout.DatabaseSocket), NoExec: true,
		})
	}
	return binds
}

func (b *builder) files() map[string]string {
	files := map[string]string{
		path.Join(b.layout.Includes, contract.PrependName):        contract.Prepend,
		path.Join(b.layout.Includes, contract.DrupalProviderName): contract.DrupalProvider,
		b.ini("fpm"):                 b.webINI(),
		b.ini("cli"):                 b.commandINI(),
		b.etc("fpm", "php-fpm.conf"): b.fpmConf(),
	}
	if b.isolated {
		b.system(files)
		return files
	}
	for name, target := range map[string]string{
		"code": b.layout.Code, "files": b.layout.Files, "tmp": b.layout.Tmp, "logs": b.layout.Logs, "certs": b.layout.Certs,
	} {
		files[path.Join(b.layout.Home, name)] = "→" + target
	}
	return files
}

// system adds the files of /etc and the links that a sandbox's root has.
func (b *builder) system(files map[string]string) {
	_, links := sandbox.SystemBinds()
	for name, link := range links {
		files[name] = link
	}
	user, uid := string(b.paths.Drop), strconv.FormatUint(uint64(b.spec.UID), 10)
	host := string(b.spec.Environment.Name()) + "-" + b.spec.SiteName
	files["/etc/passwd"] = "root:x:0:0:root:/:/usr/sbin/nologin\n" +
		user + ":x:" + uid + ":" + uid + ":" + string(b.spec.Environment) + ":" + b.layout.Home + ":/bin/bash\n"
	files["/etc/group"] = "root:x:0:\n" + user + ":x:" + uid + ":\n"
	files["/etc/hosts"] = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + host + "\n"
	files["/etc/hostname"] = host + "\n"
	files["/etc/nsswitch.conf"] = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
	files["/etc/mysql/my.cnf"] = "[client]\nsocket=" + b.layout.DatabaseSocket + "\nprotocol=socket\n"
	files[b.layout.Home] = "→/"
	files["/var/run"] = "→/run"
	files["/var/tmp"] = "→/tmp"
	files["/srv/bin/php"] = "→" + b.php.CLI
}
