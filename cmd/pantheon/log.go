package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/archive"
	"pantheon/events/eventlog/eventstoredb"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections/audit/keeper"
)

func (c *cli) logCommand() *cobra.Command {
	return noun("log", "Carry a whole cell elsewhere: its log as one file",
		c.logExportCommand(), c.logImportCommand())
}

// archiveRecord is what an export or import has done.
type archiveRecord struct {
	Archive string          `json:"archive"`
	Commits int64           `json:"commits"` // of the log
	Head    events.Position `json:"head"`
	Bytes   int64           `json:"bytes,omitzero"`
	// SignedCommits are covered by a signed head that came with the archive.
	SignedCommits int64 `json:"signed_commits"`
}

func archiveColumns() []column[archiveRecord] {
	return []column[archiveRecord]{
		{"archive", func(a archiveRecord) string { return a.Archive }},
		{"commits", func(a archiveRecord) string { return fmt.Sprint(a.Commits) }},
		{"head", func(a archiveRecord) string { return fmt.Sprint(uint64(a.Head)) }},
		{"bytes", func(a archiveRecord) string { return zeroEmpty(uint64(a.Bytes)) }},
		{"signed_commits", func(a archiveRecord) string { return fmt.Sprint(a.SignedCommits) }},
	}
}

func (c *cli) logExportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "export -o FILE", Short: "Write the whole log to one file", Args: arguments(0, 0),
		Long: `export writes the whole log, packed and with checksums, to one file. A platform
that runs goes on undisturbed; of one that does not, the data folder is read.

While it is written the file is called FILE.part. An export that was interrupted
leaves it, and the same command goes on there. The file holds no keys: keep the
folder keys of the data folder too, without it secrets and personal data in the
log stay sealed.`,
		Example: "  pantheon log export -o cell.archive\n  pantheon log export -o - | ssh elsewhere pantheon log import --from -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usageError(cmd, "-o names the file, or - for standard output")
			}
			if out == "-" {
				return c.export(cmd.Context(), archive.Start{}, c.out)
			}
			return c.exportFile(cmd.Context(), out)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `FILE` to write, - for standard output")
	return cmd
}

// exportFile writes FILE.part and gives it its name when it is whole.
func (c *cli) exportFile(ctx context.Context, name string) (err error) {
	if _, err := os.Lstat(name); err == nil {
		return problem.New(problem.Conflict, "cannot export to %s: the file is there already", name).WithHint("remove it, or choose another name")
	}
	part, err := os.OpenFile(name+".part", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot export")
	}
	defer func() {
		if info, statErr := part.Stat(); err != nil && statErr == nil && info.Size() == 0 {
			_ = os.Remove(part.Name()) // there is nothing to go on from
		}
		_ = part.Close()
	}()
	extent, err := archive.Scan(bufio.NewReaderSize(part, 1<<20))
	if err != nil {
		return err
	}
	if extent.Start.After > 0 {
		fmt.Fprintf(c.errors, "going on with %s after position %d\n", part.Name(), extent.Start.After)
	}
	if err := errors.Join(part.Truncate(extent.Bytes), seekTo(part, extent.Bytes)); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot export")
	}
	if err := c.export(ctx, extent.Start, part); err != nil {
		return err
	}
	if err := seekTo(part, 0); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot export")
	}
	// What was written is read again: the copy is worth something.
	result, err := checkArchive(ctx, name, part)
	if err != nil {
		return err
	}
	if err := errors.Join(part.Sync(), os.Rename(part.Name(), name)); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot export")
	}
	return showOne(c, result, archiveColumns())
}

func seekTo(file *os.File, offset int64) error {
	_, err := file.Seek(offset, io.SeekStart)
	return err
}

// checkArchive reads an archive to its end.
func checkArchive(ctx context.Context, name string, file *os.File) (archiveRecord, error) {
	check, err := keeper.NewOffline(nil)
	if err != nil {
		return archiveRecord{}, err
	}
	if _, err := archive.Verify(ctx, archive.NewReader(bufio.NewReaderSize(file, 1<<20)), check); err != nil {
		return archiveRecord{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return archiveRecord{}, problem.Wrap(problem.Unavailable, err, "cannot export")
	}
	state := check.State()
	return archiveRecord{name, state.Size(), state.Last(), info.Size(), check.Newest().Size}, nil
}

// export writes one part: from the platform where it runs, else from its data
// folder.
func (c *cli) export(ctx context.Context, start archive.Start, out io.Writer) error {
	err := c.exportRunning(ctx, start, out)
	if c.api != "" || problem.KindOf(err) != problem.Unavailable || !errors.Is(err, fs.ErrNotExist) && !isRefused(err) {
		return err
	}
	folder, err := logFolder(c.data)
	if err != nil {
		return err
	}
	files, err := jetstream.OpenFiles(ctx, folder, nil)
	if err != nil {
		return notWritten(err, folder)
	}
	defer func() { _ = files.Close() }() // it was read
	if err := start.Check(ctx, files); err != nil {
		return err
	}
	signed, err := c.signedBefore()
	if err != nil {
		return err
	}
	_, err = archive.Write(ctx, out, start, files, signed)
	return cannotExport(err)
}

func cannotExport(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return problem.Wrap(problem.Unavailable, err, "cannot export the log").WithHint("make room; the same command goes on where this one ended")
	}
	return err
}

// isRefused: a socket that nobody listens on any more.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// signedBefore gives the heads of a platform that does not run.
func (c *cli) signedBefore() (archive.Signed, error) {
	heads, err := keeper.ReadHeads(filepath.Join(c.data, "audit"))
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(c.data, "keys", "audit.pub"))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the public audit key")
	}
	return keeper.SignedOf(heads, string(key)), nil
}

// exportRunning copies what the platform sends. A connection that breaks is
// noticed by the archive's end, which is then missing.
func (c *cli) exportRunning(ctx context.Context, start archive.Start, out io.Writer) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	path := "log/archive"
	if start.After > 0 {
		path += fmt.Sprintf("?after=%d&hash=%s", start.After, start.Hash)
	}
	response, err := client.send(ctx, http.MethodGet, path, nil, "application/vnd.pantheon.archive")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxEventLineBytes))
		return api.ErrorOf(response.StatusCode, text)
	}
	tail := archive.NewTail(out)
	if _, err := io.Copy(tail, response.Body); err != nil {
		if err := cannotExport(err); problem.KindOf(err) == problem.Unavailable {
			return err
		}
		return client.unreachable(err)
	}
	if !tail.Whole() {
		return problem.New(problem.Unavailable, "cannot export the log: the platform at %s ended the connection too early", client.where).
			WithHint("the same command goes on where this one ended")
	}
	return nil
}

func (c *cli) logImportCommand() *cobra.Command {
	var from, into string
	var o verifyOptions
	cmd := &cobra.Command{
		Use: "import --from FILE", Short: "Fill the log of an empty cell from an archive", Args: arguments(0, 0),
		Long: `import puts an exported log into the data folder, which must hold no commits
yet, while no platform runs on it. Positions, hashes and proofs stay what they
were. Nothing can be seen of it before all has been read and checked: an archive
that is damaged, not whole or of a newer format leaves nothing. An import that
was interrupted goes on when it is repeated.

With --key, the archive must be signed with that key. With --log, the log of the
new cell is in an EventStoreDB.`,
		Example: "  pantheon log import --from cell.archive --key cell.pub --data new",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usageError(cmd, "--from names the archive, or - for standard input")
			}
			var err error
			if o.headTexts, err = c.headTexts(o.heads); err != nil {
				return err
			}
			log, err := c.logFlag(into)
			if err != nil {
				return err
			}
			return c.importArchive(cmd.Context(), from, log, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the archive: a `FILE`, or - for standard input")
	flags.StringVar(&into, "log", "", "`ADDRESS` of an EventStoreDB to import into, or @FILE, as for pantheon up (PANTHEON_LOG)")
	flags.StringVar(&o.key, "key", "", "the public `KEY` of the cell the archive is of, or a file that holds it")
	flags.StringSliceVar(&o.heads, "head", nil, "a signed head in `FILE` that the archive must agree with")
	return cmd
}

// openArchive opens an archive; - is standard input.
func (c *cli) openArchive(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(c.in), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, problem.Wrap(problem.NotFound, err, "cannot read the archive")
	}
	return file, nil
}

func (c *cli) importArchive(ctx context.Context, from string, log *foreignLog, o verifyOptions) error {
	check, err := o.offline()
	if err != nil {
		return err
	}
	in, err := c.openArchive(from)
	if err != nil {
		return err
	}
	defer in.Close()
	buffered := bufio.NewReaderSize(in, 1<<20)
	// Before anything is made: is it one at all?
	if err := archive.Peek(buffered); err != nil {
		return err
	}
	data, err := filepath.Abs(c.data)
	if err != nil {
		return err
	}
	_, statErr := os.Stat(data)
	lock, err := lockData(data)
	if err != nil {
		return err
	}
	defer lock.Close()
	into, err := restorer(ctx, data, log)
	if err != nil {
		return err
	}
	defer func() { _ = into.Close() }() // finished, or to go on with
	_, err = archive.Import(ctx, archive.NewReader(buffered), into, check)
	if err != nil {
		if errors.Is(statErr, fs.ErrNotExist) && ctx.Err() == nil {
			_ = os.Remove(filepath.Join(data, "lock")) // a folder made for nothing
			_ = os.Remove(data)
		}
		return err
	}
	state := check.State()
	return showOne(c, archiveRecord{from, state.Size(), state.Last(), 0, check.Newest().Size}, archiveColumns())
}

// restorer fills the log of a data folder, wherever that is to be.
func restorer(ctx context.Context, data string, log *foreignLog) (eventlog.Restorer, error) {
	if log == nil {
		return jetstream.Restore(ctx, jetstream.Options{Dir: filepath.Join(data, "log")})
	}
	if _, err := os.Stat(filepath.Join(data, "log")); err == nil {
		return nil, problem.New(problem.Conflict, "cannot import: the data folder %s holds a log of its own", data).WithHint("--data names another one")
	}
	into, err := eventstoredb.Restore(ctx, log.options)
	if err != nil {
		return nil, err
	}
	return into, noteLogAddress(filepath.Join(data, "log.json"), log)
}
