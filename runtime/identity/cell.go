package identity

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// CellID names a cell: 32 hexadecimal digits, made with its CA.
type CellID string

// NewCellID makes up a cell's id.
func NewCellID() CellID {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return CellID(hex.EncodeToString(id[:]))
}

// ParseCellID accepts 32 hexadecimal digits.
func ParseCellID(s string) (CellID, error) {
	if _, err := events.ParseHostID(s); err != nil { // the same shape
		return "", problem.New(problem.Invalid, "cell id %.60q is not valid: it must be 32 hexadecimal digits", s)
	}
	return CellID(s), nil
}

// Host is what a machine's certificate says.
type Host struct {
	Cell  CellID
	ID    events.HostID
	Roles []events.HostRole // sorted
}

// Has says whether the machine has a role.
func (h Host) Has(role events.HostRole) bool { return slices.Contains(h.Roles, role) }

const scheme = "pantheon"

// The first part of a URI's path.
const (
	pathHost        = "host"
	pathRole        = "role"
	pathBinding     = "binding"
	pathEnvironment = "environment"
)

func uriOf(cell CellID, kind, id string) *url.URL {
	return &url.URL{Scheme: scheme, Host: string(cell), Path: "/" + kind + "/" + id}
}

func (h Host) uris() []*url.URL {
	all := []*url.URL{uriOf(h.Cell, pathHost, string(h.ID))}
	for _, role := range slices.Compact(slices.Sorted(slices.Values(h.Roles))) {
		all = append(all, uriOf(h.Cell, pathRole, string(role)))
	}
	return all
}

func (h Host) validate() error {
	if _, err := ParseCellID(string(h.Cell)); err != nil {
		return err
	}
	if _, err := events.ParseHostID(string(h.ID)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot name a machine")
	}
	if len(h.Roles) > maxRoles {
		return problem.New(problem.Invalid, "cannot give a machine %d roles", len(h.Roles))
	}
	for _, role := range h.Roles {
		if !role.Known() {
			return problem.New(problem.Invalid, "cannot give a machine the role %.40q", role).WithHint("control, host, entry or dns")
		}
	}
	return nil
}

// hostOf reads the machine out of a certificate, whose chain somebody else
// has checked. A role that this version does not know is kept: a newer
// version gave it.
func hostOf(certificate *x509.Certificate) (Host, error) {
	var host Host
	for _, uri := range certificate.URIs {
		kind, id, err := split(uri)
		switch {
		case err != nil:
			return Host{}, err
		case host.Cell != "" && host.Cell != CellID(uri.Host):
			return Host{}, fmt.Errorf("it names two cells")
		case kind == pathHost && host.ID != "":
			return Host{}, fmt.Errorf("it names two machines")
		case kind == pathHost:
			host.ID = events.HostID(id)
		case kind == pathRole && len(host.Roles) < maxRoles:
			host.Roles = append(host.Roles, events.HostRole(id))
		default:
			return Host{}, fmt.Errorf("it is no machine's: it names a %.20q", kind)
		}
		host.Cell = CellID(uri.Host)
	}
	if _, err := events.ParseHostID(string(host.ID)); err != nil {
		return Host{}, fmt.Errorf("it names no machine")
	}
	slices.Sort(host.Roles)
	return host, nil
}

// split takes a URI of ours apart.
func split(uri *url.URL) (kind, id string, err error) {
	kind, id, found := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	plain := uri.User == nil && uri.RawQuery == "" && uri.Fragment == "" && uri.Opaque == ""
	if uri.Scheme != scheme || !found || !plain || id == "" || strings.Contains(id, "/") {
		return "", "", fmt.Errorf("it holds a URI that is none of a cell")
	}
	if _, err := ParseCellID(uri.Host); err != nil {
		return "", "", err
	}
	return kind, id, nil
}
