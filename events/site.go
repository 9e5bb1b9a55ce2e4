package events

// SiteCreated begins a site. Its environments dev, test and live exist from
// here on as names; an environment's own stream begins when it is first
// initialised.
type SiteCreated struct {
	Site      SiteID     `json:"site"`
	Name      string     `json:"name"`
	Label     string     `json:"label"`
	Owner     AccountID  `json:"owner"`
	Upstream  UpstreamID `json:"upstream"`
	Framework Framework  `json:"framework"`
	// Source is where the code came from at creation; the upstream's record
	// may change later.
	Source CodeSource `json:"source"`
}

// SiteActivated says that the site's first environment serves.
type SiteActivated struct {
	Site SiteID `json:"site"`
}

// SiteDeletionRequested begins the site's end; nothing new is placed for it
// from here on.
type SiteDeletionRequested struct {
	Site   SiteID `json:"site"`
	Reason string `json:"reason"`
}

// SiteDeleted ends a site: all that it held has been given back.
type SiteDeleted struct {
	Site SiteID `json:"site"`
	Name string `json:"name"`
}

// SiteForgettingRequested decides that the personal data and secrets of a
// deleted site become unreadable for good.
type SiteForgettingRequested struct {
	Site SiteID `json:"site"`
}

// SiteForgotten is the fact that the site's key is destroyed.
type SiteForgotten struct {
	Site SiteID `json:"site"`
}

func (SiteCreated) isEvent()             {}
func (SiteActivated) isEvent()           {}
func (SiteDeletionRequested) isEvent()   {}
func (SiteDeleted) isEvent()             {}
func (SiteForgettingRequested) isEvent() {}
func (SiteForgotten) isEvent()           {}

// Framework is what an upstream runs; PHP sees it as FRAMEWORK.
type Framework string

// The frameworks that have rules of their own; PHP is any other application.
const (
	Drupal    Framework = "drupal"  // Drupal 6 and 7
	Drupal8   Framework = "drupal8" // Drupal 8 and later
	WordPress Framework = "wordpress"
	Backdrop  Framework = "backdrop"
	PHP       Framework = "php"
)

// Known says whether the framework is one of the constants.
func (f Framework) Known() bool {
	switch f {
	case Drupal, Drupal8, WordPress, Backdrop, PHP:
		return true
	}
	return false
}

// FileMount is where the code tree links to the environment's files, relative
// to the document root; PHP sees it as FILEMOUNT.
func (f Framework) FileMount() string {
	switch f {
	case Drupal, Drupal8:
		return "sites/default/files"
	case WordPress:
		return "wp-content/uploads"
	case Backdrop, PHP:
		return "files"
	}
	return "files"
}

// CodeSource names code to import: a git repository (URL or path and branch)
// or a plain folder of a machine, whose content becomes the first commit.
type CodeSource struct {
	// Location is a git URL, or an absolute path of a repository or folder.
	Location string `json:"location"`
	// Branch of the repository; empty for its HEAD, and for folders.
	Branch string `json:"branch,omitzero"`
}
