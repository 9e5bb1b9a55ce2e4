package code

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"pantheon/events"
	"pantheon/events/problem"
)

// Settings is what a commit says about how it wants to run. The upstream's
// file gives defaults, the site's file overrides them. A zero field was not
// set.
type Settings struct {
	APIVersion                int
	PHPVersion                string // "8.2"
	DrushVersion              string
	WebDocroot                bool
	EnforceHTTPS              string // off, transitional, transitional+subdomains, full, full+subdomains
	ProtectedWebPaths         []string
	ProtectedWebPathsOverride bool
	FileMount                 string // relative to the document root, without slashes around it
	DatabaseVersion           string
	SearchVersion             string
	ObjectCacheVersion        string
	TikaVersion               string
	PHPRuntimeGeneration      string
	BuildStep                 bool
	// Warnings name what was not understood and does no harm.
	Warnings []string
}

// The two files, in the order of their force.
const (
	upstreamSettings = "pantheon.upstream.yml"
	siteSettings     = "pantheon.yml"
)

// Settings reads what the commit says.
func (s *Store) Settings(ctx context.Context, site events.SiteID, commit string) (Settings, error) {
	if _, err := events.ParseSiteID(string(site)); err != nil {
		return Settings{}, problem.Wrap(problem.Invalid, err, "cannot read settings")
	}
	if err := checkCommit(commit); err != nil {
		return Settings{}, err
	}
	return s.settingsOf(ctx, s.Repository(site), commit)
}

func (s *Store) settingsOf(ctx context.Context, repository, commit string) (Settings, error) {
	out, err := s.git.run(ctx, call{
		repository: repository,
		stdin:      strings.NewReader(commit + ":" + upstreamSettings + "\n" + commit + ":" + siteSettings + "\n"),
		args:       []string{"cat-file", "--batch"},
	})
	if err != nil {
		return Settings{}, problem.Wrap(problem.Unavailable, err, "cannot read the settings of commit %.12s", commit)
	}
	reader := bufio.NewReader(bytes.NewReader(out))
	upstream, err := readBlob(reader)
	if err != nil {
		return Settings{}, problem.Wrap(problem.Unavailable, err, "cannot read the settings of commit %.12s", commit)
	}
	own, err := readBlob(reader)
	if err != nil {
		return Settings{}, problem.Wrap(problem.Unavailable, err, "cannot read the settings of commit %.12s", commit)
	}
	return ParseSettings(upstream, own)
}

// readBlob reads one small object of git cat-file --batch; nil where it is
// missing or no blob.
func readBlob(reader *bufio.Reader) ([]byte, error) {
	header, err := reader.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("cannot read an object's header: %w", err)
	}
	fields := strings.Fields(header)
	if len(fields) != 3 || fields[len(fields)-1] == "missing" {
		return nil, nil
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("cannot read an object's size from %.80q", header)
	}
	content := make([]byte, min(size, MaxSettingsBytes+1))
	if _, err := io.ReadFull(reader, content); err != nil {
		return nil, fmt.Errorf("cannot read an object: %w", err)
	}
	if _, err := io.CopyN(io.Discard, reader, size-int64(len(content))+1); err != nil {
		return nil, fmt.Errorf("cannot read an object: %w", err)
	}
	if fields[1] != "blob" {
		return nil, nil
	}
	return content, nil
}

// ParseSettings reads the two files; nil stands for one that is absent. What
// would run the site wrongly is an error of kind Invalid with file and line;
// an unknown key is a warning.
func ParseSettings(upstream, site []byte) (Settings, error) {
	var settings Settings
	for _, file := range []struct {
		name string
		text []byte
	}{{upstreamSettings, upstream}, {siteSettings, site}} {
		if file.text == nil {
			continue
		}
		r := &settingsReader{file: file.name, settings: &settings}
		if err := r.read(file.text); err != nil {
			return Settings{}, err
		}
	}
	if n := len(settings.ProtectedWebPaths); n > MaxProtectedWebPaths {
		return Settings{}, problem.New(problem.Invalid, "cannot use %s: it protects %d paths with those of the upstream, and may protect %d", siteSettings, n, MaxProtectedWebPaths)
	}
	return settings, nil
}

type settingsReader struct {
	file     string
	settings *Settings
}

func (r *settingsReader) fail(node *yaml.Node, format string, args ...any) error {
	return problem.New(problem.Invalid, "cannot use %s: line %d: %s", r.file, node.Line, fmt.Sprintf(format, args...)).
		WithHint("correct the file, commit and push it")
}

func (r *settingsReader) warn(node *yaml.Node, format string, args ...any) {
	if len(r.settings.Warnings) < MaxNotes {
		r.settings.Warnings = append(r.settings.Warnings, fmt.Sprintf("%s: line %d: %s", r.file, node.Line, fmt.Sprintf(format, args...)))
	}
}

func (r *settingsReader) read(text []byte) error {
	if len(text) > MaxSettingsBytes {
		return problem.New(problem.Invalid, "cannot use %s: it has more than %d bytes", r.file, MaxSettingsBytes)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return problem.New(problem.Invalid, "cannot use %s: %s", r.file, bounded(strings.TrimPrefix(err.Error(), "yaml: "))).
			WithHint("correct the file, commit and push it")
	}
	if document.Kind == 0 {
		return nil // empty, or comments only
	}
	root := document.Content[0]
	if err := r.plain(root, 0); err != nil {
		return err
	}
	if root.Kind != yaml.MappingNode {
		if root.Tag == "!!null" {
			return nil
		}
		return r.fail(root, "it must be a list of keys and values")
	}
	if err := r.override(root); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if seen[key.Value] {
			return r.fail(key, "%.40q is there twice", key.Value)
		}
		seen[key.Value] = true
		if err := r.key(key, value); err != nil {
			return err
		}
	}
	if !seen["api_version"] {
		return r.fail(root, "api_version is missing; it must be 1")
	}
	return nil
}

// override drops the upstream's protected paths where the site says so,
// whether that stands before or after its own paths.
func (r *settingsReader) override(root *yaml.Node) error {
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if key.Value != "protected_web_paths_override" {
			continue
		}
		if err := r.boolean(key, value, &r.settings.ProtectedWebPathsOverride); err != nil {
			return err
		}
		if r.settings.ProtectedWebPathsOverride {
			r.settings.ProtectedWebPaths = nil
		}
	}
	return nil
}

// plain refuses aliases, which a short text can expand without end, and deep
// nesting.
func (r *settingsReader) plain(node *yaml.Node, depth int) error {
	if node.Kind == yaml.AliasNode {
		return r.fail(node, "aliases cannot be used")
	}
	if depth > maxSettingsDepth {
		return r.fail(node, "it is nested deeper than %d", maxSettingsDepth)
	}
	for _, child := range node.Content {
		if err := r.plain(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (r *settingsReader) key(key, value *yaml.Node) error {
	s := r.settings
	switch key.Value {
	case "api_version":
		if value.Value != "1" {
			return r.fail(value, "api_version must be 1")
		}
		s.APIVersion = 1
		return nil
	case "php_version":
		return r.version(key, value, phpVersion, "8.2", &s.PHPVersion)
	case "drush_version":
		return r.version(key, value, anyVersion, "8", &s.DrushVersion)
	case "tika_version":
		return r.version(key, value, anyVersion, "3", &s.TikaVersion)
	case "php_runtime_generation":
		return r.version(key, value, anyVersion, "2", &s.PHPRuntimeGeneration)
	case "web_docroot":
		return r.boolean(key, value, &s.WebDocroot)
	case "build_step":
		return r.boolean(key, value, &s.BuildStep)
	case "protected_web_paths_override":
		return nil // read before the others
	case "protected_web_paths":
		return r.protectedPaths(value)
	case "enforce_https":
		return r.enforceHTTPS(value)
	case "filemount":
		return r.fileMount(value)
	case "database":
		return r.serviceVersion(key, value, &s.DatabaseVersion)
	case "search":
		return r.serviceVersion(key, value, &s.SearchVersion)
	case "object_cache":
		return r.serviceVersion(key, value, &s.ObjectCacheVersion)
	case "workflows", "search_replace":
		return nil // another reader's
	}
	r.warn(key, "%.40q is not known and has no effect", key.Value)
	return nil
}

var (
	phpVersion = regexp.MustCompile(`^[5-9]\.[0-9]{1,2}$`)
	anyVersion = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){0,2}$`)
)

// version takes the text as it stands: as a number, 8.10 would be 8.1.
func (r *settingsReader) version(key, value *yaml.Node, pattern *regexp.Regexp, example string, to *string) error {
	if value.Kind != yaml.ScalarNode || !pattern.MatchString(value.Value) {
		return r.fail(value, "%s must be a version, for example %s", key.Value, example)
	}
	*to = value.Value
	return nil
}

func (r *settingsReader) boolean(key, value *yaml.Node, to *bool) error {
	if err := value.Decode(to); err != nil || value.Kind != yaml.ScalarNode {
		return r.fail(value, "%s must be true or false", key.Value)
	}
	return nil
}

func (r *settingsReader) serviceVersion(key, value *yaml.Node, to *string) error {
	if value.Kind == yaml.ScalarNode && key.Value == "object_cache" {
		return r.version(key, value, anyVersion, "6.2", to)
	}
	if value.Kind != yaml.MappingNode {
		return r.fail(value, "%s must have a version below it", key.Value)
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		name, version := value.Content[i], value.Content[i+1]
		if name.Value != "version" {
			r.warn(name, "%s: %.40q is not known and has no effect", key.Value, name.Value)
			continue
		}
		if err := r.version(key, version, anyVersion, "10.6", to); err != nil {
			return err
		}
	}
	return nil
}

var enforceHTTPSValues = []string{"off", "transitional", "transitional+subdomains", "full", "full+subdomains"}

func (r *settingsReader) enforceHTTPS(value *yaml.Node) error {
	if value.Kind != yaml.ScalarNode || !slices.Contains(enforceHTTPSValues, value.Value) {
		return r.fail(value, "enforce_https must be one of %s", strings.Join(enforceHTTPSValues, ", "))
	}
	r.settings.EnforceHTTPS = value.Value
	return nil
}

// fileMount takes "/files" and "files" alike.
func (r *settingsReader) fileMount(value *yaml.Node) error {
	mount := strings.Trim(value.Value, "/")
	if value.Kind != yaml.ScalarNode || checkMount(mount) != nil || mount == "" {
		return r.fail(value, "filemount must be a path below the document root, for example /files")
	}
	r.settings.FileMount = mount
	return nil
}

func (r *settingsReader) protectedPaths(value *yaml.Node) error {
	if value.Kind != yaml.SequenceNode {
		return r.fail(value, "protected_web_paths must be a list of paths")
	}
	for _, node := range value.Content {
		bad := node.Kind != yaml.ScalarNode || !strings.HasPrefix(node.Value, "/") || len(node.Value) > maxWebPathBytes ||
			strings.ContainsAny(node.Value, "*?\x00\n") || path.Clean(node.Value) != strings.TrimSuffix(node.Value, "/") && node.Value != "/"
		if bad {
			return r.fail(node, "a protected path begins with / and is an exact prefix without patterns")
		}
		if !slices.Contains(r.settings.ProtectedWebPaths, node.Value) {
			r.settings.ProtectedWebPaths = append(r.settings.ProtectedWebPaths, node.Value)
		}
	}
	return nil
}

var errNotPlain = errors.New("it is not a plain path below the code")

// checkMount accepts a relative path of plain components; empty is none.
func checkMount(mount string) error {
	if mount == "" {
		return nil
	}
	if len(mount) > MaxPathBytes {
		return errNotPlain
	}
	for part := range strings.SplitSeq(mount, "/") {
		if !plainName(part) {
			return errNotPlain
		}
	}
	return nil
}

// plainName refuses the names that git refuses in a tree, and those that a
// path may not hold.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.EqualFold(name, ".git") && !strings.ContainsAny(name, "/\x00")
}
