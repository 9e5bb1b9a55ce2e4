package archive

import (
	"context"
	"iter"

	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Check looks at what is read: Heads sees those of each part before its
// commits, Add all links in order, and Finish says at the end whether all is
// well. Of an import nobody sees anything before that.
type Check interface {
	Heads(Heads) error
	Add(links []chain.Link) error
	Finish() error
}

// Verify reads an archive to its end.
func Verify(ctx context.Context, r *Reader, check Check) (Trailer, error) {
	for batch, err := range r.Batches(ctx) {
		if err == nil {
			err = see(check, batch)
		}
		if err != nil {
			return Trailer{}, err
		}
	}
	return r.Trailer(), check.Finish()
}

func see(check Check, batch Batch) error {
	if batch.Heads != nil {
		return check.Heads(*batch.Heads)
	}
	return check.Add(batch.Links)
}

// Import puts an archive into an empty log. An archive that is not whole leaves
// nothing; an import that was interrupted, by its context or because the log
// failed, keeps what it has, and the same import again goes on there.
func Import(ctx context.Context, r *Reader, into eventlog.Restorer, check Check) (Trailer, error) {
	kept, stop := iter.Pull2(into.Kept(ctx))
	defer stop()
	i := importing{into: into, kept: kept, check: check, keeping: true}
	for batch, err := range r.Batches(ctx) {
		if err == nil {
			err = i.add(ctx, batch)
		}
		if err != nil {
			return Trailer{}, i.end(ctx, err)
		}
	}
	if err := i.more(); err != nil {
		return Trailer{}, err
	}
	if err := check.Finish(); err != nil {
		return Trailer{}, i.end(ctx, err)
	}
	return r.Trailer(), into.Finish(ctx)
}

// importing is an import under way.
type importing struct {
	into    eventlog.Restorer
	kept    func() (eventlog.Entry, error, bool)
	check   Check
	keeping bool // what was kept is being compared
}

func (i *importing) add(ctx context.Context, batch Batch) error {
	if err := see(i.check, batch); err != nil {
		return err
	}
	for n, entry := range batch.Entries {
		if i.keeping {
			same, err := i.same(batch.Links[n])
			if err != nil {
				return err
			}
			if same {
				continue
			}
		}
		if err := i.into.Put(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// same compares the next commit with the next of those that were kept; false
// when there are no more.
func (i *importing) same(link chain.Link) (bool, error) {
	entry, err, more := i.kept()
	if err != nil || !more {
		i.keeping = false
		return false, err
	}
	other, _, err := chain.Read(entry)
	if err != nil || other != link {
		return false, errOther
	}
	return true, nil
}

// more refuses a kept part that goes beyond the archive.
func (i *importing) more() error {
	if !i.keeping {
		return nil
	}
	if _, err, more := i.kept(); more || err != nil {
		return errOther
	}
	return nil
}

var errOther error = problem.New(problem.Conflict, "cannot import the archive: an import of another one was interrupted here").
	WithHint("import that one again, or remove the folder log.import")

// end decides what an import that failed leaves: nothing where the archive is
// to blame.
func (i *importing) end(ctx context.Context, err error) error {
	kind := problem.KindOf(err)
	if ctx.Err() != nil || err == errOther || kind == problem.Unavailable || kind == problem.Internal {
		return err
	}
	if failed := i.into.Discard(); failed != nil {
		return problem.Wrap(kind, err, "cannot remove what was imported (%v)", failed)
	}
	return err
}
