package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/archive"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections/audit/keeper"
)

// verification is what a check of a whole log has found.
type verification struct {
	Log     string          `json:"log"`
	Head    events.Position `json:"head"` // the last position
	Commits int64           `json:"commits"`
	Root    string          `json:"root"`
	// SignedCommits are covered by a signed head that was checked, of SignedAt.
	SignedCommits int64  `json:"signed_commits"`
	SignedAt      string `json:"signed_at,omitzero"`
}

func verificationColumns() []column[verification] {
	return []column[verification]{
		{"log", func(v verification) string { return v.Log }},
		{"head", func(v verification) string { return fmt.Sprint(uint64(v.Head)) }},
		{"commits", func(v verification) string { return fmt.Sprint(v.Commits) }},
		{"root", func(v verification) string { return v.Root }},
		{"signed_commits", func(v verification) string { return fmt.Sprint(v.SignedCommits) }},
		{"signed_at", func(v verification) string { return v.SignedAt }},
	}
}

// verifyOptions is what `audit verify` was told.
type verifyOptions struct {
	key       string
	proof     string
	heads     []string
	decode    bool
	headTexts []string
}

// verifier gives the public key, which must have been named.
func (o verifyOptions) verifier() (note.Verifier, error) {
	if o.key == "" {
		return nil, problem.New(problem.Invalid, "cannot check a signature without the public key").
			WithHint("--key names the key, or a file that holds it: pantheon audit head --field key")
	}
	return keeper.ReadKey(o.key)
}

func (c *cli) auditVerifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [ARCHIVE | -]",
		Short: "Check a whole log offline, or a proof: nothing was changed, removed or put in another order",
		Long: `verify reads a whole log and changes nothing: the one in the data folder of a
platform that does not run, or, with ARCHIVE, one that was exported. It checks
checksums, the order of positions, the chain of every stream, and that the tree
over all commits is the one that was signed. With --proof it checks one proof.

It ends with exit code 65 and names the position where the log is not what was
written.

The public key should come from outside: whoever could change everything in the
data folder could have signed another history with another key.`,
		Example: "  pantheon audit verify\n  pantheon audit verify cell.archive --key cell.pub --head monday.head\n  pantheon audit verify --proof commit.proof --key cell.pub",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.headTexts, err = c.headTexts(o.heads); err != nil {
				return err
			}
			switch {
			case o.proof != "" && len(args) > 0:
				return usageError(cmd, "a proof is checked without an archive")
			case o.proof != "":
				return c.verifyProof(o)
			case len(args) > 0:
				return c.verifyArchive(cmd.Context(), args[0], o)
			}
			return c.verifyFolder(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.key, "key", "", "the public `KEY`, or a file that holds it; without it, the data folder's, or the one the archive names")
	flags.StringVar(&o.proof, "proof", "", "check the proof in `FILE`, or - for standard input")
	flags.StringSliceVar(&o.heads, "head", nil, "a signed head in `FILE` that the log or proof must agree with")
	flags.BoolVar(&o.decode, "decode", false, "also check that this version can decode every event in the data folder")
	return cmd
}

// offline makes the check; without a key, that of the archive is used.
func (o verifyOptions) offline() (*keeper.Offline, error) {
	if o.key == "" && len(o.headTexts) == 0 {
		return keeper.NewOffline(nil)
	}
	key, err := o.verifier()
	if err != nil {
		return nil, err
	}
	return keeper.NewOffline(key, o.headTexts...)
}

func (c *cli) verifyArchive(ctx context.Context, name string, o verifyOptions) error {
	check, err := o.offline()
	if err != nil {
		return err
	}
	in, err := c.openArchive(name)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := archive.Verify(ctx, archive.NewReader(bufio.NewReaderSize(in, 1<<20)), check); err != nil {
		return err
	}
	if o.key == "" && check.Newest().Size > 0 {
		fmt.Fprintln(c.errors, "the signatures are right for the key that the archive itself names: --key with the cell's own says more")
	}
	return c.showVerification(name, check)
}

func (c *cli) showVerification(name string, check *keeper.Offline) error {
	state, newest := check.State(), check.Newest()
	v := verification{Log: name, Head: state.Last(), Commits: state.Size(), Root: state.Root().String(), SignedCommits: newest.Size}
	if newest.Size > 0 {
		v.SignedAt = timeText(newest.Time)
	}
	return showOne(c, v, verificationColumns())
}

// verifyFolder checks the files of the log as they are, then what was signed.
func (c *cli) verifyFolder(ctx context.Context, o verifyOptions) error {
	folder, err := logFolder(c.data)
	if err != nil {
		return err
	}
	if o.key == "" {
		// A cell from before there were heads has no key either.
		public := filepath.Join(c.data, "keys", "audit.pub")
		if _, err := os.Stat(public); err == nil {
			o.key = public
		} else if !errors.Is(err, fs.ErrNotExist) {
			return problem.Wrap(problem.Unavailable, err, "cannot read the public audit key")
		}
	}
	check, err := o.offline()
	if err != nil {
		return err
	}
	if o.decode {
		if _, err := jetstream.Verify(ctx, folder); err != nil {
			return inUse(notWritten(err, folder))
		}
	}
	if o.key != "" {
		leaves, err := check.Folder(filepath.Join(c.data, "audit"))
		if err != nil {
			return err
		}
		defer leaves.Close()
	}
	files, err := jetstream.OpenFiles(ctx, folder, check.See)
	if err != nil {
		return inUse(notWritten(err, folder))
	}
	defer func() { _ = files.Close() }() // it was read
	if err := check.Finish(); err != nil {
		return err
	}
	return c.showVerification(folder, check)
}

func notWritten(err error, folder string) error {
	var broken *eventlog.BrokenError
	if problem.KindOf(err) == problem.Internal && errors.As(err, &broken) {
		return problem.Wrap(problem.Conflict, broken, "the log is not what was written").
			WithHint("keep the folder %s as it is, and restore it from a copy", folder)
	}
	return err
}

// inUse says how the log of a platform that runs is verified. Of what can be
// wrong with a folder, only that is a conflict without a broken log.
func inUse(err error) error {
	var locked *problem.Error
	var broken *eventlog.BrokenError
	if problem.KindOf(err) == problem.Conflict && !errors.As(err, &broken) && errors.As(err, &locked) {
		return locked.WithHint("the log of a platform that runs: pantheon log export -o - | pantheon audit verify -")
	}
	return err
}
