// Package contract is what every PHP process of the platform finds around it:
// environment variables, PRESSFLOW_SETTINGS, and our own prepend with its
// constants, functions and classes. Code written for the original platform
// runs on it unmodified.
//
// Environment is where things enter: a Site goes in, the variables come out,
// in a fixed order. Nothing here has state, reads a clock or does I/O.
//
// Prepend is the PHP that runs before every script, for the web and on the
// command line (auto_prepend_file). What it needs beyond the original's
// variables it finds in four more: PANTHEON_DATABASE_BINDING,
// PANTHEON_DATABASE_SOCKET, PANTHEON_BINDING_UID_NUMBER and
// PANTHEON_EDGE_SPOOL.
//
// # Edge purges
//
// PHP says what is stale by pantheon_clear_edge_keys, _paths and _all. The
// prepend collects that and, when the page is done, appends one line of JSON
// to the file that PANTHEON_EDGE_SPOOL names:
//
//	{"all":false,"keys":["node-1"],"paths":["/"],"urls":[]}
//
// A file and not a socket: what is said while nobody listens, because the
// agent restarts, is not lost, and a page never waits. A spool that would grow
// over MaxSpoolBytes becomes the one line that purges everything. Whoever
// reads it holds flock(2) on it, as the prepend does, and must take it for
// what it is: text that a tenant can write.
//
// # Secrets
//
// They arrive in a Secrets, which does not print itself, and leave only in the
// environment of the process: not in a file, not in an argument.
package contract

import (
	_ "embed"
	"strconv"
	"strings"

	"pantheon/events"
)

// Prepend is pantheon.php, DrupalProvider the class that Drupal 8 and later
// ask it for; both lie in the folder Layout.Includes.
var (
	//go:embed php/pantheon.php
	Prepend string
	//go:embed php/drupal.php
	DrupalProvider string
)

// Names of the files in Layout.Includes.
const (
	PrependName        = "pantheon.php"
	DrupalProviderName = "drupal.php"
)

// Site is all that a DROP's processes are told.
type Site struct {
	Drop    events.DropID
	Spec    events.DropSpec
	Layout  Layout
	Secrets Secrets
	// Cache and Index are nil where the environment has none: PHP takes the
	// absence of the variable for the absence of the service.
	Cache *Endpoint
	Index *Endpoint
}

// Endpoint is a service that is reached over the network.
type Endpoint struct {
	Host     string
	Port     int
	Password string
}

// Layout names the folders as PHP sees them.
type Layout struct {
	Home, Code, Files, Tmp, Certs, Logs, Includes string
	// Spool is the file for edge purges.
	Spool string
	// DatabaseSocket is the database's unix socket.
	DatabaseSocket string
}

// Sandboxed is the layout inside a sandbox.
func Sandboxed(drop events.DropID) Layout {
	return Layout{
		Home: "/srv/bindings/" + string(drop), Code: "/code", Files: "/files", Tmp: "/tmp", Certs: "/certs",
		Logs: "/logs", Includes: "/srv/includes", Spool: "/run/pantheon/purge",
		DatabaseSocket: "/run/mysqld/mysqld.sock",
	}
}

// RollingTmp is the temporary folder that changes with each deployment.
func (l Layout) RollingTmp(spec events.DropSpec) string {
	return l.Tmp + "/deployment-" + strconv.Itoa(spec.Deployment)
}

// Docroot is the folder that the web sees.
func (l Layout) Docroot(spec events.DropSpec) string {
	if spec.Settings.WebDocroot {
		return l.Code + "/web"
	}
	return l.Code
}

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Strings gives the form that exec takes.
func Strings(vs []Variable) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name + "=" + v.Value
	}
	return out
}

// DeploymentIdentifier changes with every deployment of the environment.
func DeploymentIdentifier(spec events.DropSpec) string {
	return strconv.Itoa(spec.Deployment) + "-" + spec.Commit[:min(len(spec.Commit), 12)]
}

// FileMount is where the code links to the files, relative to the document
// root.
func FileMount(spec events.DropSpec) string {
	if m := strings.Trim(spec.Settings.FileMount, "/"); m != "" {
		return m
	}
	return spec.Framework.FileMount()
}

// Database names the environment's database, and its user alike; both are
// empty where none is bound.
func Database(spec events.DropSpec) (binding events.BindingID, name string) {
	for _, s := range spec.Services {
		if s.Kind == events.DBServer {
			return s.Binding, DatabaseName(s.Binding)
		}
	}
	return "", ""
}

// DatabaseName gives the database and the user of a binding.
func DatabaseName(binding events.BindingID) string {
	return "pantheon_" + string(binding[:min(len(binding), 16)])
}

// DatabaseHost and DatabasePort: PHP's clients use the unix socket for the
// name localhost, whatever the port says.
const (
	DatabaseHost = "localhost"
	DatabasePort = 3306
)

// Environment gives the whole environment of a process of the site.
func Environment(s Site) []Variable {
	e := environment{}
	e.identity(s)
	e.paths(s)
	e.database(s)
	e.services(s)
	e.salts(s.Secrets)
	e.add("PRESSFLOW_SETTINGS", pressflowSettings(s))
	if s.Spec.Framework == events.Backdrop {
		e.add("BACKDROP_SETTINGS", pressflowSettings(s))
	}
	return e
}

type environment []Variable

func (e *environment) add(name, value string) { *e = append(*e, Variable{name, value}) }

func (e *environment) identity(s Site) {
	spec := s.Spec
	docroot := "/"
	if spec.Settings.WebDocroot {
		docroot = "/web/"
	}
	e.add("PANTHEON_ENVIRONMENT", string(spec.Environment.Name()))
	e.add("PANTHEON_SITE", string(spec.Environment.Site()))
	e.add("PANTHEON_SITE_NAME", spec.SiteName)
	e.add("PANTHEON_BINDING", string(s.Drop))
	e.add("PANTHEON_BINDING_UID_NUMBER", strconv.FormatUint(uint64(spec.UID), 10))
	e.add("PANTHEON_INFRASTRUCTURE_ENVIRONMENT", "live")
	e.add("PANTHEON_DEPLOYMENT_IDENTIFIER", DeploymentIdentifier(spec))
	e.add("FRAMEWORK", string(spec.Framework))
	e.add("DOCROOT", docroot)
	e.add("FILEMOUNT", FileMount(spec))
	e.add("php_version", spec.Settings.PHPVersion)
}

func (e *environment) paths(s Site) {
	l := s.Layout
	e.add("HOME", l.Home)
	e.add("USER", string(s.Drop))
	e.add("LOGNAME", string(s.Drop))
	e.add("SHELL", "/bin/bash")
	e.add("PATH", "/usr/local/bin:/bin:/usr/bin:/srv/bin")
	e.add("LANG", "C.UTF-8")
	e.add("TMPDIR", l.Tmp)
	e.add("PANTHEON_ROLLING_TMP", l.RollingTmp(s.Spec))
	e.add("PANTHEON_EDGE_SPOOL", l.Spool)
}

func (e *environment) database(s Site) {
	binding, name := Database(s.Spec)
	if binding == "" {
		return
	}
	e.add("DB_HOST", DatabaseHost)
	e.add("DB_PORT", strconv.Itoa(DatabasePort))
	e.add("DB_NAME", name)
	e.add("DB_USER", name)
	e.add("DB_PASSWORD", s.Secrets.DBPassword)
	e.add("PANTHEON_DATABASE_BINDING", string(binding))
	e.add("PANTHEON_DATABASE_SOCKET", s.Layout.DatabaseSocket)
	e.add("MYSQL_UNIX_PORT", s.Layout.DatabaseSocket) // for the client program
}

func (e *environment) services(s Site) {
	if c := s.Cache; c != nil {
		e.add("CACHE_HOST", c.Host)
		e.add("CACHE_PORT", strconv.Itoa(c.Port))
		e.add("CACHE_PASSWORD", c.Password)
	}
	if i := s.Index; i != nil {
		core := "/site/" + string(s.Spec.Environment.Site()) + "/environment/" + string(s.Spec.Environment.Name())
		e.add("PANTHEON_INDEX_HOST", i.Host)
		e.add("PANTHEON_INDEX_PORT", strconv.Itoa(i.Port))
		e.add("PANTHEON_INDEX_SCHEME", "https")
		e.add("PANTHEON_INDEX_PATH", "v1")
		e.add("PANTHEON_INDEX_CORE", core+"/backend")
		e.add("PANTHEON_INDEX_SCHEMA", core+"/configs")
		e.add("PANTHEON_INDEX_RELOAD_PATH", core+"/reload")
		e.add("PANTHEON_INDEX_TOKEN", i.Password)
	}
}

func (e *environment) salts(s Secrets) {
	e.add("DRUPAL_HASH_SALT", s.HashSalt)
	e.add("AUTH_KEY", s.AuthKey)
	e.add("SECURE_AUTH_KEY", s.SecureAuthKey)
	e.add("LOGGED_IN_KEY", s.LoggedInKey)
	e.add("NONCE_KEY", s.NonceKey)
	e.add("AUTH_SALT", s.AuthSalt)
	e.add("SECURE_AUTH_SALT", s.SecureAuthSalt)
	e.add("LOGGED_IN_SALT", s.LoggedInSalt)
	e.add("NONCE_SALT", s.NonceSalt)
}
