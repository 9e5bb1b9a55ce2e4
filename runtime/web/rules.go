package web

import (
	"path"
	"strings"

	"pantheon/events"
)

// rules are what the paths of one environment mean. They are pure: no file is
// looked at here. Paths are clean, absolute and decoded.
type rules struct {
	mount     string // "/sites/default/files"
	protected []string
	framework events.Framework
}

func newRules(spec events.DropSpec) rules {
	mount := spec.Settings.FileMount
	if mount == "" {
		mount = spec.Framework.FileMount()
	}
	mount = path.Clean("/" + mount)
	protected := []string{
		"/private/", mount + "/private/",
		"/sites/default/config/", "/sites/default/files/config/",
		"/pantheon.yml", "/pantheon.upstream.yml",
	}
	own := spec.Settings.ProtectedWebPaths
	for _, prefix := range own[:min(len(own), MaxProtectedPaths)] {
		if strings.HasPrefix(prefix, "/") {
			protected = append(protected, prefix)
		}
	}
	return rules{mount: mount, protected: protected, framework: spec.Framework}
}

// cleanPath removes empty and dot elements. folder says that the path ended in
// a slash. A path that climbs above the root or holds a NUL is refused.
func cleanPath(p string) (clean string, folder, ok bool) {
	if p == "" || p[0] != '/' || strings.IndexByte(p, 0) >= 0 {
		return "", false, false
	}
	if strings.Contains(p, "/..") {
		depth := 0
		for element := range strings.SplitSeq(p[1:], "/") {
			switch element {
			case "", ".":
			case "..":
				depth--
			default:
				depth++
			}
			if depth < 0 {
				return "", false, false
			}
		}
	}
	folder = strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")
	return path.Clean(p), folder, true
}

// forbidden paths are answered with 403 whether there is a file or not.
func (r *rules) forbidden(p string) bool {
	for _, prefix := range r.protected {
		if strings.HasPrefix(p, prefix) || p+"/" == prefix {
			return true
		}
	}
	if strings.Contains(p, "/.git") || strings.Contains(p, "/.ht") {
		return true
	}
	return r.mounted(p) && hasPHPElement(p[len(r.mount):])
}

// mounted says whether the path lies in the environment's files.
func (r *rules) mounted(p string) bool {
	return strings.HasPrefix(p, r.mount) && (len(p) == len(r.mount) || p[len(r.mount)] == '/')
}

// hasPHPElement finds an element that some configuration of PHP would run.
func hasPHPElement(p string) bool {
	for element := range strings.SplitSeq(p, "/") {
		dot := strings.LastIndexByte(element, '.')
		if dot < 0 {
			continue
		}
		switch suffix := strings.ToLower(element[dot+1:]); {
		case suffix == "phtml", suffix == "pht", suffix == "phar", suffix == "phps":
			return true
		case strings.HasPrefix(suffix, "php") && len(suffix) <= 4:
			return true
		}
	}
	return false
}

// sourceSuffixes are not for visitors; the application is asked instead, as if
// there were no such file.
var sourceSuffixes = map[string]bool{
	"bak": true, "dist": true, "engine": true, "inc": true, "info": true, "ini": true, "install": true, "log": true,
	"make": true, "module": true, "orig": true, "po": true, "profile": true, "save": true, "sh": true, "sql": true,
	"swo": true, "swp": true, "test": true, "theme": true, "tpl": true, "twig": true, "xtmpl": true, "yml": true,
}

var sourceNames = map[string]bool{
	"composer.json": true, "composer.lock": true, "package.json": true, "package-lock.json": true, "yarn.lock": true,
	"web.config": true, "Entries": true, "Repository": true, "Root": true, "Tag": true, "Template": true,
}

// hidden paths are treated as if there were no file.
func (r *rules) hidden(p string) bool {
	if strings.HasPrefix(p, "/vendor/") {
		return true
	}
	if strings.Contains(p, "/.") && !strings.HasPrefix(p, "/.well-known/") {
		return true
	}
	name := p[strings.LastIndexByte(p, '/')+1:]
	if name == "" {
		return false
	}
	if sourceNames[name] || strings.HasSuffix(name, "~") || name[0] == '#' && strings.HasSuffix(name, "#") {
		return true
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return false
	}
	return sourceSuffixes[strings.ToLower(name[dot+1:])] || strings.HasSuffix(name, ".tpl.php")
}

// nextScript finds where the next element that ends in ".php" ends, at or
// after from; -1 if there is none. What follows it is PATH_INFO.
func nextScript(p string, from int) int {
	for {
		i := strings.Index(p[from:], ".php")
		if i < 0 {
			return -1
		}
		from += i + len(".php")
		if from == len(p) || p[from] == '/' {
			return from
		}
	}
}

// networkPath undoes the path of a site of a WordPress network:
// /blog/wp-admin/x → /wp-admin/x, /blog/x.php → /x.php.
func (r *rules) networkPath(p string) (string, bool) {
	if r.framework != events.WordPress {
		return "", false
	}
	i := strings.IndexByte(p[1:], '/')
	if i < 0 {
		return "", false
	}
	rest := p[1+i:]
	if strings.HasPrefix(rest, "/wp-") || strings.HasSuffix(rest, ".php") {
		return rest, true
	}
	return "", false
}
