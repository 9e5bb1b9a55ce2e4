package code

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// treeEntry is one entry of a commit's tree.
type treeEntry struct {
	mode, object string
	size         int64
	path         string
}

// list gives all files, links and submodules of a commit, checked: no path of
// it leaves the tree.
func (g git) list(ctx context.Context, repository, commit string) ([]treeEntry, error) {
	out, err := g.run(ctx, call{repository: repository, args: []string{"ls-tree", "-r", "-z", "-l", "--full-tree", commit}})
	if failed := (*gitError)(nil); errors.As(err, &failed) && strings.Contains(failed.text, "not a tree object") || err != nil && strings.Contains(err.Error(), "Not a valid object name") {
		return nil, problem.New(problem.NotFound, "commit %.12s does not exist", commit)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot list commit %.12s", commit)
	}
	return parseTree(string(out))
}

// parseTree reads "<mode> <type> <object> <size>\t<path>\0" of git-ls-tree(1).
func parseTree(out string) ([]treeEntry, error) {
	var entries []treeEntry
	var sum int64
	for record := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if record == "" {
			continue
		}
		meta, name, found := strings.Cut(record, "\t")
		fields := strings.Fields(meta)
		if !found || len(fields) != 4 || !commitPattern.MatchString(fields[2]) {
			return nil, problem.New(problem.Unavailable, "cannot read the tree of a commit: %.80q", record)
		}
		if name == "" || checkMount(name) != nil {
			return nil, problem.New(problem.Invalid, "cannot use the commit: its path %.80q is not plain", name)
		}
		entry := treeEntry{mode: fields[0], object: fields[2], path: name}
		if fields[1] == "blob" {
			size, err := strconv.ParseInt(fields[3], 10, 64)
			if err != nil || size < 0 {
				return nil, problem.New(problem.Unavailable, "cannot read the tree of a commit: %.80q", record)
			}
			entry.size = size
		}
		entries = append(entries, entry)
		if sum += entry.size; sum > MaxTreeBytes || len(entries) > MaxTreeEntries {
			return nil, problem.New(problem.Invalid, "cannot use the commit: it has more than %d files or %d bytes", MaxTreeEntries, int64(MaxTreeBytes))
		}
	}
	return entries, nil
}

// mount is a place of the tree that becomes a link.
type mount struct{ path, target string }

// without leaves out what is at the mount or below it. A file above it is an
// error: the place could not exist.
func (m mount) without(entries []treeEntry) ([]treeEntry, error) {
	if m.path == "" {
		return entries, nil
	}
	kept := entries[:0:0]
	for _, entry := range entries {
		if strings.HasPrefix(m.path, entry.path+"/") {
			return nil, problem.New(problem.Invalid, "cannot put the files at %s: the code has a file at %s", m.path, entry.path)
		}
		if entry.path != m.path && !strings.HasPrefix(entry.path, m.path+"/") {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}

// plant writes entries into an empty folder. What it calls for a file's
// content decides whether the tree shares blobs or owns copies.
type plant struct {
	root  *os.Root
	store *Store
	from  contents
	// folders already made, in the order of their making.
	folders []string
	made    map[string]bool
	owner   *owner // nil: the platform's, read-only and shared
}

// owner makes a writable tree of one user.
type owner struct{ uid int }

func (p *plant) folder(name string) error {
	if name == "." || p.made[name] {
		return nil
	}
	if err := p.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := p.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	p.made[name] = true
	p.folders = append(p.folders, name)
	return nil
}

// grow writes the whole tree: folders, files, and links last, so that no path
// is ever walked through a link of the commit.
func (p *plant) grow(ctx context.Context, entries []treeEntry, at mount) error {
	var files, links []treeEntry
	for _, entry := range entries {
		if err := p.folder(path.Dir(entry.path)); err != nil {
			return err
		}
		switch entry.mode {
		case modeLink:
			links = append(links, entry)
		case modeSubmodule:
			if err := p.folder(entry.path); err != nil {
				return err
			}
		default:
			files = append(files, entry)
		}
	}
	if err := p.files(ctx, files); err != nil {
		return err
	}
	if err := p.links(ctx, links); err != nil {
		return err
	}
	if at.path != "" {
		if err := errors.Join(p.folder(path.Dir(at.path)), p.link(at.target, at.path)); err != nil {
			return err
		}
	}
	return p.finish()
}

func (p *plant) files(ctx context.Context, files []treeEntry) error {
	if p.owner == nil {
		if err := p.store.fillBlobs(ctx, p.from, files); err != nil {
			return err
		}
		return p.linkBlobs(files)
	}
	return p.from(ctx, files, func(entry treeEntry, content io.Reader) error {
		mode := fs.FileMode(0o644)
		if entry.mode == modeExecutable {
			mode = 0o755
		}
		file, err := p.root.OpenFile(entry.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Chmod(mode), p.chown(file), file.Close())
	})
}

// linkBlobs links every file to its shared blob. Entries come sorted, so one
// open folder at a time serves all of its files.
func (p *plant) linkBlobs(files []treeEntry) error {
	var folder *os.File
	var open string
	defer func() {
		if folder != nil {
			_ = folder.Close()
		}
	}()
	for _, entry := range files {
		if dir := path.Dir(entry.path); folder == nil || dir != open {
			if folder != nil {
				_ = folder.Close()
			}
			var err error
			if folder, err = p.root.Open(dir); err != nil {
				return err
			}
			open = dir
		}
		if err := p.store.linkBlob(entry, int(folder.Fd()), path.Base(entry.path)); err != nil {
			return err
		}
	}
	return nil
}

func (p *plant) links(ctx context.Context, links []treeEntry) error {
	return p.from(ctx, links, func(entry treeEntry, content io.Reader) error {
		if entry.size > maxLinkBytes {
			return problem.New(problem.Invalid, "cannot use the commit: link %.80q is longer than %d bytes", entry.path, maxLinkBytes)
		}
		target, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		return p.link(string(target), entry.path)
	})
}

func (p *plant) link(target, name string) error {
	if err := p.root.Symlink(target, name); err != nil {
		return err
	}
	if p.owner == nil {
		return nil
	}
	return p.root.Lchown(name, p.owner.uid, p.owner.uid)
}

func (p *plant) chown(file *os.File) error {
	return file.Chown(p.owner.uid, p.owner.uid)
}

// finish gives the folders their final modes and owner.
func (p *plant) finish() error {
	for _, name := range append([]string{"."}, p.folders...) {
		var err error
		if p.owner == nil {
			err = p.root.Chmod(name, 0o555)
		} else {
			err = errors.Join(p.root.Chmod(name, 0o755), p.root.Lchown(name, p.owner.uid, p.owner.uid))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// contents reads the objects of the entries in their order with one git
// process and gives each to take; all are of one kind.
func (g git) contents(ctx context.Context, repository string, entries []treeEntry, kind string, take func(treeEntry, io.Reader) error) error {
	if len(entries) == 0 {
		return nil
	}
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	var names strings.Builder
	for _, entry := range entries {
		names.WriteString(entry.object + "\n")
	}
	go func() { // ends with git, whose output pipe is closed below at the latest
		_, err := g.run(ctx, call{repository: repository, stdin: strings.NewReader(names.String()), stdout: writer, args: []string{"cat-file", "--batch"}})
		_ = writer.CloseWithError(err)
		ended <- err
	}()
	err := takeAll(bufio.NewReaderSize(reader, 256<<10), entries, kind, take)
	_ = reader.CloseWithError(errors.New("nobody reads any more"))
	return errors.Join(err, ignoreClosed(err, <-ended))
}

// ignoreClosed drops git's error where it only says that we stopped reading.
func ignoreClosed(ours, gits error) error {
	if ours != nil {
		return nil
	}
	return gits
}

func takeAll(reader *bufio.Reader, entries []treeEntry, kind string, take func(treeEntry, io.Reader) error) error {
	for _, entry := range entries {
		header, err := reader.ReadString('\n')
		if err != nil {
			return fmt.Errorf("cannot read object %s: %w", entry.object, err)
		}
		if want := fmt.Sprintf("%s %s %d\n", entry.object, kind, entry.size); header != want {
			return fmt.Errorf("cannot read object %s: git answers %.80q", entry.object, header)
		}
		content := &io.LimitedReader{R: reader, N: entry.size}
		if err := take(entry, content); err != nil {
			return err
		}
		if content.N != 0 {
			return fmt.Errorf("cannot read object %s: %d bytes are missing", entry.object, content.N)
		}
		if end, err := reader.ReadByte(); err != nil || end != '\n' {
			return fmt.Errorf("cannot read object %s: its end is missing", entry.object)
		}
	}
	return nil
}

// blob is the path of a shared file.
func (s *Store) blob(entry treeEntry) string {
	name := entry.object
	if entry.mode == modeExecutable {
		name += "x"
	}
	return filepath.Join(s.blobs(), entry.object[:2], name)
}

// fillBlobs makes the shared files that are not there. One of a wrong size was
// spoiled by a power failure and is made again.
func (s *Store) fillBlobs(ctx context.Context, from contents, files []treeEntry) error {
	var missing []treeEntry
	seen := map[string]bool{}
	for _, entry := range files {
		blob := s.blob(entry)
		if seen[blob] {
			continue
		}
		seen[blob] = true
		info, err := os.Lstat(blob)
		if err == nil && info.Size() == entry.size {
			continue
		}
		missing = append(missing, entry)
	}
	if len(missing) == 0 {
		return nil
	}
	// Making files is what takes the time, and it is the kernel's: several
	// writers help. Neighbours stay together, their objects are deltas of each
	// other.
	var group errgroup.Group
	for part := range slices.Chunk(missing, (len(missing)+blobWriters-1)/blobWriters) {
		group.Go(func() error { return from(ctx, part, s.makeBlob) })
	}
	return group.Wait()
}

// makeBlob writes beside the final name: 256 folders take new files about twice
// as fast as one. What a kill leaves there has one link, and CollectBlobs takes
// it.
func (s *Store) makeBlob(entry treeEntry, content io.Reader) error {
	path := s.blob(entry)
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "new-")
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(folder, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		file, err = os.CreateTemp(folder, "new-")
	}
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o444)
	if entry.mode == modeExecutable {
		mode = 0o555
	}
	_, err = io.Copy(file, content)
	if err = errors.Join(err, file.Chmod(mode), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// linkBlob links a shared file into a folder. A file system bounds the links
// of a file (ext4: 65,000): a copy then takes the place of the shared one, and
// later releases link to the copy. Linux refuses (ENOENT) a file whose last name
// goes while it is being linked: the same blob, made by another site at the same
// moment, has taken its place.
func (s *Store) linkBlob(entry treeEntry, folder int, name string) error {
	blob := s.blob(entry)
	var err error
	for range linkTries {
		err = unix.Linkat(unix.AT_FDCWD, blob, folder, name, 0)
		if err == unix.EMLINK {
			if err := s.copyBlob(entry, blob); err != nil {
				return err
			}
			err = unix.Linkat(unix.AT_FDCWD, blob, folder, name, 0)
		}
		if err != unix.ENOENT {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot link %s: %w", entry.path, err)
	}
	return nil
}

func (s *Store) copyBlob(entry treeEntry, blob string) error {
	source, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer source.Close()
	return s.makeBlob(entry, source)
}
