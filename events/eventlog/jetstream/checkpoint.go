package jetstream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// checkpoint is the content of the file "head": what the log was up to a
// position that was acknowledged.
type checkpoint struct {
	Position uint64 `json:"position"`
	Digest   string `json:"digest"` // of all commits up to there, see digest
}

func checkpointPath(dir string) string { return filepath.Join(dir, "head") }

func readCheckpoint(dir string) (checkpoint, error) {
	var point checkpoint
	data, err := os.ReadFile(checkpointPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return point, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &point, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return point, problem.Wrap(problem.Unavailable, err, "cannot read the log's checkpoint %s", checkpointPath(dir))
	}
	return point, nil
}

func writeCheckpoint(dir string, point checkpoint) (err error) {
	data, err := json.Marshal(point)
	if err != nil {
		return err
	}
	name := checkpointPath(dir)
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	return err
}

// checkpointer follows the log with the digest and saves it.
type checkpointer struct {
	log    *Log
	at     uint64
	digest digest
	saved  uint64
}

func (c *checkpointer) run(ctx context.Context) {
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := c.save(); err != nil {
			c.log.logger.Warn("cannot write the log's checkpoint", "error", err)
		}
	}
}

// save brings the digest to the head and writes it.
func (c *checkpointer) save() error {
	head := c.log.head.get()
	for r, err := range c.log.index.records(c.at, head) {
		if err != nil {
			return err
		}
		c.digest = c.digest.next(sha256.Sum256(r.message))
		c.at = r.position
	}
	if c.at == c.saved {
		return nil
	}
	if err := writeCheckpoint(c.log.dir, checkpoint{c.at, c.digest.String()}); err != nil {
		return err
	}
	c.saved = c.at
	return nil
}

// lockDir makes sure that one process at a time has the log; closing the file
// gives it up, and so does the process' end.
func lockDir(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the log in %s", dir)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, problem.New(problem.Conflict, "cannot open the log in %s: another process has it open", dir).
				WithHint("stop the other pantheon, or choose another --data folder")
		}
		return nil, problem.Wrap(problem.Unavailable, err, "cannot lock the log in %s", dir)
	}
	return file, nil
}

// freeBytes gives what an ordinary user may still write where dir is.
func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("cannot ask for free space: %w", err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
