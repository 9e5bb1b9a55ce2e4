package code

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The modes of git's tree entries that are imported and written.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// author of the commits that the platform makes.
const author = "pantheon <platform@pantheon.localhost>"

// file is one entry of a commit to make: its content is in memory or in a file
// outside.
type file struct {
	path    string // in the tree
	mode    string
	content []byte // where from is empty; a link's target
	from    string // absolute path of a regular file
	size    int64
}

// commit is one commit to make with git fast-import: all objects go into one
// pack, without a file for each and without a work tree.
type commit struct {
	message string
	parent  string // empty: files are the whole tree; else they are added to the parent's
	files   []file
	when    time.Time
}

// makeCommit appends the commit to a branch of a repository, forced where it
// has no parent.
func (g git) makeCommit(ctx context.Context, repository, ref string, c commit) error {
	reader, writer := io.Pipe()
	go func() { // ends when git has read everything, or with its end
		_ = writer.CloseWithError(c.stream(writer, ref))
	}()
	_, err := g.run(ctx, call{
		repository: repository,
		stdin:      reader,
		args:       []string{"fast-import", "--quiet", "--done", "--force", "--depth=0", "--date-format=raw"},
	})
	_ = reader.CloseWithError(io.ErrClosedPipe)
	return err
}

// stream writes the commit in the language of git-fast-import(1).
func (c commit) stream(to io.Writer, ref string) error {
	w := bufio.NewWriterSize(to, 256<<10)
	fmt.Fprintf(w, "commit %s\ncommitter %s %d +0000\ndata %d\n%s\n", ref, author, c.when.Unix(), len(c.message), c.message)
	if c.parent != "" {
		fmt.Fprintf(w, "from %s\n", c.parent)
	}
	for _, f := range c.files {
		if err := f.stream(w); err != nil {
			return err
		}
	}
	_, _ = w.WriteString("\ndone\n")
	return w.Flush()
}

// pathQuoter is C quoting as fast-import reads it.
var pathQuoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (f file) stream(w *bufio.Writer) error {
	fmt.Fprintf(w, "M %s inline \"%s\"\ndata %d\n", f.mode, pathQuoter.Replace(f.path), f.size)
	if f.from == "" {
		_, err := w.Write(f.content)
		_, _ = w.WriteString("\n")
		return err
	}
	source, err := openRegular(f.from)
	if err != nil {
		return err
	}
	defer source.Close()
	// The size is announced already: a file that shrank in between fails here,
	// one that grew is cut where it was when it was looked at.
	if _, err := io.CopyN(w, source, f.size); err != nil {
		return fmt.Errorf("%s changed while it was read: %w", f.from, err)
	}
	_, err = w.WriteString("\n")
	return err
}

// openRegular opens a regular file; a pipe or device in its place does not
// block.
func openRegular(path string) (*os.File, error) {
	source, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := source.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file any more", path)
	}
	if err != nil {
		_ = source.Close()
		return nil, err
	}
	return source, nil
}
