package code

import (
	"bytes"
	_ "embed"
	"path"
)

// platformConfig is the wp-config.php that a WordPress without one gets. From
// the import on it is the customer's own code.
//
//go:embed wp-config.php
var platformConfig []byte

const (
	wpConfig       = "wp-config.php"
	maxConfigBytes = 64 << 10 // how much of a wp-config.php is looked at
	configMessage  = "Add wp-config.php, which reads the platform's environment"
)

// documentRoots are where an application may be in its code.
var documentRoots = []string{"", "web"}

// application is one that a distribution ships as a plain folder, without the
// settings that the original's upstreams have in their repositories.
type application struct {
	// marks are the files by which it is recognised, below a document root.
	marks [2]string
	// settings go into pantheon.upstream.yml after api_version.
	settings string
}

var (
	wordPress = application{
		marks: [2]string{"wp-settings.php", "wp-includes/version.php"},
		settings: `protected_web_paths:
  - /private/
  - /wp-content/uploads/private/
  - /xmlrpc.php
`,
	}
	// MediaWiki keeps uploads in images, and removed ones in images/deleted. Its
	// installer runs as it is, fills the database and offers LocalSettings.php
	// for download, because code is read-only. That file is then committed, best
	// with getenv('DB_PASSWORD') and its neighbours in the place of the values.
	mediaWiki = application{
		marks: [2]string{"includes/WebStart.php", "mw-config/index.php"},
		settings: `filemount: /images
protected_web_paths:
  - /private/
  - /images/private/
  - /images/deleted/
  - /maintenance/
`,
	}
)

// in gives the marks below a document root.
func (a application) in(root string) (first, second string) {
	return path.Join(root, a.marks[0]), path.Join(root, a.marks[1])
}

// configure gives a folder's application what it needs to run here and does
// not bring along.
func (f *folder) configure() {
	for _, root := range documentRoots {
		for _, known := range []application{wordPress, mediaWiki} {
			first, second := known.in(root)
			if f.has(first) && f.has(second) {
				f.addSettings(root, known.settings)
			}
		}
		first, second := wordPress.in(root)
		if f.has(first) && f.has(second) {
			f.configureWordPress(path.Join(root, wpConfig))
		}
	}
}

func (f *folder) addSettings(root, settings string) {
	if f.has(upstreamSettings) || f.has(siteSettings) {
		return
	}
	text := "# Added at the import. A pantheon.yml beside it overrides it.\napi_version: 1\n"
	if root != "" {
		text += "web_docroot: true\n"
	}
	f.put(upstreamSettings, []byte(text+settings))
	f.notes = append(f.notes, upstreamSettings+": added")
}

// configureWordPress gives WordPress the platform's configuration where it has
// none. Debian's reads /etc/wordpress, which no site has: it counts as none.
func (f *folder) configureWordPress(config string) {
	if !f.has(config) {
		f.put(config, platformConfig)
		f.notes = append(f.notes, config+": added, it reads the platform's environment")
		return
	}
	if bytes.Contains(f.read(config, maxConfigBytes), []byte("/etc/wordpress/")) {
		f.put(config, platformConfig)
		f.notes = append(f.notes, config+": replaced, it would read /etc/wordpress, which a site cannot see")
	}
}
