package code

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// folder is what an import takes of a plain folder.
type folder struct {
	files []file
	notes []string // what was left out or changed, and why
}

// readFolder walks a folder. Distributions build applications out of links
// that leave the folder (Debian's WordPress takes JavaScript from
// /usr/share/javascript, its MediaWiki keeps extensions in /var/lib): what such
// a link leads to is copied in its place, if everybody on the machine may read
// it. A link to another place of the folder stays a link, made relative. A
// link to nowhere is left out.
func readFolder(ctx context.Context, root string) (folder, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return folder{}, problem.Wrap(problem.Unavailable, err, "cannot import %s", root)
	}
	w := &walker{ctx: ctx, root: real, open: map[string]bool{}}
	if err := w.walk(real, "", false); err != nil {
		return folder{}, err
	}
	if len(w.found.files) == 0 {
		return folder{}, problem.New(problem.Invalid, "cannot import %s: there is no file in it", root)
	}
	return w.found, nil
}

type walker struct {
	ctx   context.Context
	root  string // without links
	found folder
	bytes int64
	// stack holds the folders being walked: a link to one of them would never
	// end.
	stack []string
	// open remembers which folders everybody may pass.
	open map[string]bool
}

func (w *walker) note(name, format string, args ...any) {
	if len(w.found.notes) < MaxNotes {
		w.found.notes = append(w.found.notes, name+": "+fmt.Sprintf(format, args...))
	}
}

// walk takes the folder dir as name of the tree. outside says that dir is
// beyond a link that left the root.
func (w *walker) walk(dir, name string, outside bool) error {
	if err := w.ctx.Err(); err != nil {
		return problem.Wrap(problem.Unavailable, err, "the import was given up")
	}
	if len(w.stack) == maxFolderDepth {
		return problem.New(problem.Invalid, "cannot import %s: folders are nested deeper than %d", w.root, maxFolderDepth)
	}
	w.stack = append(w.stack, dir)
	defer func() { w.stack = w.stack[:len(w.stack)-1] }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return problem.Wrap(problem.Denied, err, "cannot import %s", w.root)
	}
	for _, entry := range entries {
		if err := w.entry(filepath.Join(dir, entry.Name()), path.Join(name, entry.Name()), outside); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(at, name string, outside bool) error {
	info, err := os.Lstat(at)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot import %s", w.root)
	}
	if strings.EqualFold(info.Name(), ".git") {
		w.note(name, "left out, git keeps no folder of that name")
		return nil
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return w.link(at, name, outside)
	case outside && !w.readableByAll(at, info):
		w.note(name, "left out, a link led out of the folder to %s, which not everybody may read", at)
		return nil
	case mode.IsDir():
		if within, inside := relativeTo(w.root, at); outside && inside {
			return w.keepLink(name, at, within, outside) // around and back into the folder
		}
		return w.walk(at, name, outside)
	case mode.IsRegular():
		return w.regular(at, name, info)
	}
	w.note(name, "left out, it is neither file, folder nor link")
	return nil
}

func (w *walker) regular(at, name string, info fs.FileInfo) error {
	mode := modeFile
	if info.Mode()&0o111 != 0 {
		mode = modeExecutable
	}
	return w.add(file{path: name, mode: mode, from: at, size: info.Size()})
}

func (w *walker) add(f file) error {
	w.bytes += f.size
	switch {
	case len(w.found.files) == MaxTreeEntries:
		return problem.New(problem.Invalid, "cannot import %s: it has more than %d files", w.root, MaxTreeEntries)
	case w.bytes > MaxTreeBytes:
		return problem.New(problem.Invalid, "cannot import %s: it has more than %d bytes", w.root, int64(MaxTreeBytes))
	case len(f.path) > MaxPathBytes:
		return problem.New(problem.Invalid, "cannot import %s: a path has more than %d bytes", w.root, MaxPathBytes)
	}
	w.found.files = append(w.found.files, f)
	return nil
}

func (w *walker) link(at, name string, outside bool) error {
	target, err := os.Readlink(at)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot import %s", w.root)
	}
	resolved, err := filepath.EvalSymlinks(at)
	if err != nil {
		w.note(name, "left out, it links to %s, which is not there", target)
		return nil
	}
	if within, inside := relativeTo(w.root, resolved); inside {
		return w.keepLink(name, target, within, outside)
	}
	info, err := os.Stat(resolved)
	if err != nil || !w.readableByAll(resolved, info) {
		w.note(name, "left out, it links to %s, which not everybody may read", resolved)
		return nil
	}
	switch {
	case info.Mode().IsRegular():
		return w.regular(resolved, name, info)
	case info.IsDir() && !slices.Contains(w.stack, resolved):
		return w.walk(resolved, name, true)
	}
	w.note(name, "left out, it links to %s", resolved)
	return nil
}

// keepLink keeps a link that stays in the tree: as it is where it is relative
// and means the same there, else rewritten.
func (w *walker) keepLink(name, target, within string, outside bool) error {
	text := target
	if outside || filepath.IsAbs(target) || !fs.ValidPath(path.Join(path.Dir(name), target)) {
		rewritten, err := filepath.Rel("/"+path.Dir(name), "/"+within)
		if err != nil {
			return problem.Wrap(problem.Internal, err, "cannot rewrite link %s", name)
		}
		text = rewritten
	}
	return w.add(file{path: name, mode: modeLink, content: []byte(text), size: int64(len(text))})
}

// relativeTo gives the path of something inside root, "." for itself.
func relativeTo(root, name string) (string, bool) {
	if name == root {
		return ".", true
	}
	return strings.CutPrefix(name, strings.TrimSuffix(root, "/")+"/")
}

// readableByAll says whether every user of the machine can read the file or
// folder. The platform is root: without this, a link in a folder would give
// away what only root may see.
func (w *walker) readableByAll(at string, info fs.FileInfo) bool {
	need := fs.FileMode(0o004)
	if info.IsDir() {
		need = 0o005
	}
	return info.Mode().Perm()&need == need && w.passableByAll(filepath.Dir(at))
}

func (w *walker) passableByAll(dir string) bool {
	if open, known := w.open[dir]; known {
		return open
	}
	info, err := os.Stat(dir)
	open := err == nil && info.Mode().Perm()&0o001 != 0 && (dir == "/" || w.passableByAll(filepath.Dir(dir)))
	w.open[dir] = open
	return open
}

// fingerprint stands for the folder's content without reading it: a folder
// whose names, sizes, modes and times are the same is taken as unchanged.
func (f folder) fingerprint() (string, error) {
	hash := sha256.New()
	for _, file := range f.files {
		var modified int64
		if file.from != "" {
			info, err := os.Stat(file.from)
			if err != nil {
				return "", err
			}
			modified = info.ModTime().UnixNano()
		}
		fmt.Fprintf(hash, "%q %s %q %d %d\n", file.path, file.mode, file.from, file.size, modified)
		if file.from == "" {
			_, _ = hash.Write(file.content)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// read gives the beginning of a file of the folder; empty where there is none.
func (f folder) read(name string, limit int64) []byte {
	index := slices.IndexFunc(f.files, func(file file) bool { return file.path == name })
	if index < 0 {
		return nil
	}
	if f.files[index].from == "" {
		return f.files[index].content
	}
	source, err := openRegular(f.files[index].from)
	if err != nil {
		return nil
	}
	defer source.Close()
	text, _ := io.ReadAll(io.LimitReader(source, limit))
	return text
}

func (f folder) has(name string) bool {
	return slices.ContainsFunc(f.files, func(file file) bool { return file.path == name })
}

// put adds a file, or replaces the one of that name.
func (f *folder) put(name string, content []byte) {
	f.files = slices.DeleteFunc(f.files, func(file file) bool { return file.path == name })
	f.files = append(f.files, file{path: name, mode: modeFile, content: content, size: int64(len(content))})
}
