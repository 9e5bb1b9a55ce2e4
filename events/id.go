package events

import (
	"fmt"
	"slices"
	"strings"
)

// Identifiers are distinct string types, so that one is never taken for
// another. Their text is safe as a token of a log subject, a file name and a
// path element of a URL. They are minted outside (a gateway, a runner) and
// arrive in commands; nothing in this package makes one up.
type (
	// SiteID is a UUID in lower-case text form (RFC 9562 §4).
	SiteID string
	// EnvironmentName is dev, test, live or the name of a branch environment:
	// up to 11 lower-case letters, digits and dashes.
	EnvironmentName string
	// EnvironmentID is "<environment name>.<site UUID>", the form users know
	// from the SSH user name.
	EnvironmentID string
	// DropID is 32 hexadecimal digits; it is also the binding id that PHP sees
	// as PANTHEON_BINDING.
	DropID string
	// BindingID is 32 hexadecimal digits.
	BindingID string
	// HostID is 32 hexadecimal digits.
	HostID string
	// WorkflowID is a UUID.
	WorkflowID string
	// AccountID is a UUID.
	AccountID string
	// TokenID is a UUID; it names a machine token and is not the token.
	TokenID string
	// UpstreamID is a UUID.
	UpstreamID string
	// ZoneName is the apex of a DNS zone: a name in lower case without the final
	// dot.
	ZoneName string
	// ZoneKeyID is 32 hexadecimal digits. The private half of the key is not in
	// the log.
	ZoneKeyID string
	// NameID is "<space>:<name>", a unique claim; see Name.
	NameID string
	// CommandID makes a command happen once: the same id sent again has no
	// second effect. Free text of at most MaxCommandIDBytes.
	CommandID string
)

// The shapes of identifiers. Regular expressions would say the same, and be
// most of the time that reading a commit takes.

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func isAlphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }

// isUUID: 8-4-4-4-12 lower-case hexadecimal digits.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

// isHexID: 32 lower-case hexadecimal digits.
func isHexID(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return len(s) == 32
}

// isLabel: lower-case letters, digits and dashes, no dash at either end.
func isLabel(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[len(s)-1] != '-'
}

// isEnvironmentID: "<environment name>.<site UUID>".
func isEnvironmentID(s string) bool {
	name, site, found := strings.Cut(s, ".")
	return found && len(name) <= MaxEnvironmentNameBytes && isLabel(name) && isUUID(site)
}

// isUniqueName: "<letters>:<name>", a name being letters, digits, dashes and
// underscores in parts between single dots: an empty part would be an empty
// token of a log's subject.
func isUniqueName(s string) bool {
	space, name, _ := strings.Cut(s, ":")
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return false
	}
	for i := range len(space) {
		if space[i] < 'a' || space[i] > 'z' {
			return false
		}
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return space != "" && name != ""
}

// isZoneName: labels of letters, digits, dashes and underscores, each of at
// most 63 bytes, 253 in all (RFC 1035 §2.3.4).
func isZoneName(s string) bool {
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case !isAlphanumeric(c) && c != '-' && c != '_':
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && len(s) <= 253
}

// EnvironmentOf joins a site and an environment's name.
func EnvironmentOf(site SiteID, name EnvironmentName) EnvironmentID {
	return EnvironmentID(string(name) + "." + string(site))
}

// Site gives the site's half of the identifier.
func (id EnvironmentID) Site() SiteID {
	_, site, _ := strings.Cut(string(id), ".")
	return SiteID(site)
}

// Name gives the environment's half of the identifier.
func (id EnvironmentID) Name() EnvironmentName {
	name, _, _ := strings.Cut(string(id), ".")
	return EnvironmentName(name)
}

// The spaces in which names are unique over the whole cell.
const (
	SpaceSite = "site" // machine names of sites
	SpaceHost = "host" // host names of the web
)

// UniqueName joins a space and a name.
func UniqueName(space, name string) NameID { return NameID(space + ":" + name) }

// Space gives the half before the colon.
func (id NameID) Space() string { space, _, _ := strings.Cut(string(id), ":"); return space }

// Name gives the half after the colon.
func (id NameID) Name() string { _, name, _ := strings.Cut(string(id), ":"); return name }

// ParseSiteID accepts a lower-case UUID.
func ParseSiteID(s string) (SiteID, error) { return parse[SiteID](s, "site id", isUUID, "a UUID") }

// ParseDropID accepts 32 hexadecimal digits.
func ParseDropID(s string) (DropID, error) {
	return parse[DropID](s, "DROP id", isHexID, "32 hexadecimal digits")
}

// ParseHostID accepts 32 hexadecimal digits.
func ParseHostID(s string) (HostID, error) {
	return parse[HostID](s, "host id", isHexID, "32 hexadecimal digits")
}

// ParseZoneName accepts a DNS name in lower case without the final dot.
func ParseZoneName(s string) (ZoneName, error) {
	return parse[ZoneName](s, "zone", isZoneName, "a DNS name in lower case without a final dot")
}

// ParseZoneKeyID accepts 32 hexadecimal digits.
func ParseZoneKeyID(s string) (ZoneKeyID, error) {
	return parse[ZoneKeyID](s, "key id", isHexID, "32 hexadecimal digits")
}

// ParseEnvironmentName accepts the name of an environment.
func ParseEnvironmentName(s string) (EnvironmentName, error) {
	if len(s) > MaxEnvironmentNameBytes {
		return "", fmt.Errorf("environment name %.40q has more than %d characters", s, MaxEnvironmentNameBytes)
	}
	return parse[EnvironmentName](s, "environment name", isLabel, "lower-case letters, digits and dashes")
}

// ParseEnvironmentID accepts "<environment name>.<site UUID>".
func ParseEnvironmentID(s string) (EnvironmentID, error) {
	id := EnvironmentID(s)
	if _, err := ParseEnvironmentName(string(id.Name())); err != nil {
		return "", err
	}
	if _, err := ParseSiteID(string(id.Site())); err != nil {
		return "", err
	}
	return id, nil
}

// ParseSiteName accepts what can stand in a host name after "<env>-".
func ParseSiteName(s string) (string, error) {
	if len(s) > MaxNameBytes {
		return "", fmt.Errorf("site name %.60q has more than %d characters", s, MaxNameBytes)
	}
	return parse[string](s, "site name", isLabel, "lower-case letters, digits and dashes, beginning and ending with a letter or digit")
}

func parse[T ~string](s, what string, valid func(string) bool, shape string) (T, error) {
	if len(s) > MaxIDBytes || !valid(s) {
		return "", fmt.Errorf("%s %.60q is not valid: it must be %s", what, s, shape)
	}
	return T(s), nil
}

// Kind is a kind of actor; every stream belongs to one.
type Kind string

// The kinds of actor. Name is the smallest: one claim of one unique name, so
// that uniqueness over the cell needs no actor that knows all names.
const (
	KindSite        Kind = "site"
	KindEnvironment Kind = "environment"
	KindDrop        Kind = "drop"
	KindHost        Kind = "host"
	KindBinding     Kind = "binding"
	KindWorkflow    Kind = "workflow"
	KindAccount     Kind = "account"
	KindName        Kind = "name"
	KindZone        Kind = "zone"
)

// Kinds lists every kind once, in the order of their introduction.
var Kinds = []Kind{KindSite, KindEnvironment, KindDrop, KindHost, KindBinding, KindWorkflow, KindAccount, KindName, KindZone}

// validID says whether a text is the identifier of a kind of actor.
func (k Kind) validID(id string) bool {
	switch k {
	case KindSite, KindWorkflow, KindAccount:
		return isUUID(id)
	case KindDrop, KindHost, KindBinding:
		return isHexID(id)
	case KindEnvironment:
		return isEnvironmentID(id)
	case KindName:
		return isUniqueName(id)
	case KindZone:
		return isZoneName(id)
	}
	return false
}

// StreamID names one actor and its stream of commits.
type StreamID struct {
	Kind Kind
	ID   string
}

// String gives "<kind>/<id>", the form users type.
func (s StreamID) String() string { return string(s.Kind) + "/" + s.ID }

// ParseStreamID accepts "<kind>/<id>" and checks the identifier's shape.
func ParseStreamID(s string) (StreamID, error) {
	kind, id, found := strings.Cut(s, "/")
	if !found || !slices.Contains(Kinds, Kind(kind)) {
		return StreamID{}, fmt.Errorf("stream %.80q is not valid: it must be <kind>/<id> with one of the kinds %v", s, Kinds)
	}
	if len(id) > MaxIDBytes || !Kind(kind).validID(id) {
		return StreamID{}, fmt.Errorf("stream %.80q is not valid: %q is no id of a %s", s, id, kind)
	}
	return StreamID{Kind(kind), id}, nil
}

// Stream of each identifier.
func (id SiteID) Stream() StreamID        { return StreamID{KindSite, string(id)} }
func (id EnvironmentID) Stream() StreamID { return StreamID{KindEnvironment, string(id)} }
func (id DropID) Stream() StreamID        { return StreamID{KindDrop, string(id)} }
func (id HostID) Stream() StreamID        { return StreamID{KindHost, string(id)} }
func (id BindingID) Stream() StreamID     { return StreamID{KindBinding, string(id)} }
func (id WorkflowID) Stream() StreamID    { return StreamID{KindWorkflow, string(id)} }
func (id AccountID) Stream() StreamID     { return StreamID{KindAccount, string(id)} }
func (id NameID) Stream() StreamID        { return StreamID{KindName, string(id)} }
func (id ZoneName) Stream() StreamID      { return StreamID{KindZone, string(id)} }
