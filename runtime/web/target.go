package web

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"pantheon/events"
	"pantheon/events/problem/page"
)

// target is what a path turned out to mean.
type target struct {
	kind targetKind
	path string // of the file or of the script, under the document root

	file *os.File // kindFile
	info fs.FileInfo

	pathInfo string // kindScript
	query    string // kindScript: QUERY_STRING; kindRedirect: the location

	page page.Page // kindPage
}

type targetKind uint8

const (
	kindNone     targetKind = iota // nothing there
	kindFile                       // a static file
	kindScript                     // PHP
	kindRedirect                   // a folder without its slash
	kindPage                       // a fixed page
)

// indexes of a folder, the first one that is there.
var indexes = []string{"index.php", "index.html", "index.htm"}

// find decides what a clean path is. Errors are those of the machine.
func (s *Server) find(roots *roots, p string, folder bool, u *url.URL) (target, error) {
	if s.rules.forbidden(slashed(p, folder)) {
		return target{kind: kindPage, page: page.Forbidden}, nil
	}
	t, err := s.findExisting(roots, p, folder, u)
	if err != nil || t.kind != kindNone {
		return t, err
	}
	if rest, ok := s.rules.networkPath(p); ok && !s.rules.forbidden(slashed(rest, folder)) {
		if t, err = s.findExisting(roots, rest, folder, u); err != nil || t.kind != kindNone {
			return t, err
		}
	}
	return s.frontController(roots, p, folder, u), nil
}

func slashed(p string, folder bool) string {
	if folder && p != "/" {
		return p + "/"
	}
	return p
}

// findExisting looks for a script in the path, a file, a folder.
func (s *Server) findExisting(roots *roots, p string, folder bool, u *url.URL) (target, error) {
	whole := slashed(p, folder)
	for end := nextScript(whole, 0); end >= 0; end = nextScript(whole, end) {
		script := whole[:end]
		if !s.rules.hidden(script) && s.isScript(roots, script) {
			return target{kind: kindScript, path: script, pathInfo: whole[end:], query: u.RawQuery}, nil
		}
	}
	if s.rules.hidden(whole) {
		return target{}, nil
	}
	if p == "/" {
		return s.folder(roots, p, true, u)
	}
	file, info, err := s.docroot.openFile(roots, p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return target{}, nil
	case err != nil:
		return target{}, err
	case info.IsDir():
		file.Close()
		return s.folder(roots, p, folder, u)
	case folder: // a slash behind a file
		file.Close()
		return target{}, nil
	}
	return target{kind: kindFile, path: p, file: file, info: info}, nil
}

// folder answers for a directory: its index, the way to its slash, or the page
// that the original platform makes of a 403.
func (s *Server) folder(roots *roots, p string, slash bool, u *url.URL) (target, error) {
	for _, name := range indexes {
		index := strings.TrimSuffix(p, "/") + "/" + name
		if s.rules.mounted(index) && hasPHPElement(name) || !s.docroot.isFile(roots, index) {
			continue
		}
		if !slash {
			return target{kind: kindRedirect, query: location(p+"/", u)}, nil
		}
		if strings.HasSuffix(name, ".php") {
			return target{kind: kindScript, path: index, query: u.RawQuery}, nil
		}
		file, info, err := s.docroot.openFile(roots, index)
		if err != nil || !info.Mode().IsRegular() {
			return target{}, err
		}
		return target{kind: kindFile, path: index, file: file, info: info}, nil
	}
	return target{kind: kindPage, page: page.NoSite}, nil
}

// location is a path of this site: it begins with one slash, so that no client
// takes it for another host.
func location(p string, u *url.URL) string {
	to := (&url.URL{Path: p}).EscapedPath()
	if u.RawQuery != "" {
		to += "?" + u.RawQuery
	}
	return to
}

// frontController gives what is not there to the application.
func (s *Server) frontController(roots *roots, p string, folder bool, u *url.URL) target {
	if !s.isScript(roots, "/index.php") {
		return target{kind: kindPage, page: page.NotFound}
	}
	query := u.RawQuery
	if s.rules.framework == events.Drupal {
		query = "q=" + strings.ReplaceAll(url.QueryEscape(slashed(p, folder)[1:]), "%2F", "/")
		if u.RawQuery != "" {
			query += "&" + u.RawQuery
		}
	}
	return target{kind: kindScript, path: "/index.php", query: query}
}
