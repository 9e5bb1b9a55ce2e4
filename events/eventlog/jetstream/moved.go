package jetstream

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"pantheon/events/problem"
)

// move is the content of the file beside a log's folder that says that its
// history is, or may be, in a cluster. Without the file the folder is the log.
// It is written before the cluster's copy becomes the log, and removed after
// the folder is complete again: at every moment exactly one of the two can be
// opened for writing.
type move struct {
	// Phase is "committing" while it is not known whether the cluster's copy has
	// become the log, and "moved" when it has.
	Phase   string `json:"phase"`
	Cluster string `json:"cluster"`
}

const (
	phaseCommitting = "committing"
	phaseMoved      = "moved"
)

func movePath(dir string) string { return filepath.Clean(dir) + ".moved" }

// readMove gives the zero move where the folder is the log.
func readMove(dir string) (move, error) {
	var m move
	data, err := os.ReadFile(movePath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return m, problem.Wrap(problem.Unavailable, err, "cannot tell whether the log has moved: %s", movePath(dir))
	}
	return m, nil
}

func writeMove(dir string, m move) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeDurably(movePath(dir), data)
}

// removeMove makes the folder the log again.
func removeMove(dir string) error {
	if err := os.Remove(movePath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncPath(filepath.Dir(movePath(dir)))
}

// writeDurably replaces a file in one go.
func writeDurably(name string, data []byte) error {
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err == nil {
		err = syncPath(filepath.Dir(name))
	}
	return err
}

// InCluster says whether the log that was in dir is held by a cluster, and by
// which. A move that was interrupted counts: Grow ends it.
func InCluster(dir string) (cluster string, moved bool, err error) {
	m, err := readMove(dir)
	return m.Cluster, m.Phase != "", err
}

// notMoved refuses to open a folder that is the log no more.
func notMoved(dir string) error {
	m, err := readMove(dir)
	if err != nil || m.Phase == "" {
		return err
	}
	if m.Phase == phaseCommitting {
		return problem.New(problem.Unavailable, "cannot open the log in %s: it was being moved to the cluster %s", dir, m.Cluster).
			WithHint("'pantheon cluster grow' ends what was begun")
	}
	return problem.New(problem.Conflict, "cannot open the log in %s: it has moved to the cluster %s", dir, m.Cluster).
		WithHint("start this machine as a member of the cluster")
}

// errMoving refuses commits while the log is copied.
var errMoving = errors.New("the log is being moved between machines")

// The stream's description says what a cluster's copy is worth.
const (
	stateKey      = "pantheon-state"
	digestKey     = "pantheon-digest"
	stateCopying  = "copying"  // into the cluster: no log yet
	stateComplete = "complete" // the log
	stateMoving   = "moving"   // out of the cluster: read only
)

// movingError tells a stream that is no log to work with.
func movingError(info *streamInfo) error {
	switch info.Config.Metadata[stateKey] {
	case stateCopying, stateMoving:
		return errMoving
	}
	return nil
}
