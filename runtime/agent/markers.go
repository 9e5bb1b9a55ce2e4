package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"pantheon/events"
)

// markers are the agent's memory on disk, below <data>/hosts/<host>: one file
// for each DROP that was prepared and each binding that was touched, and the
// revision up to which orders were carried out.
type markers struct{ dir string }

// dropMarker says what a DROP's folder was prepared for.
type dropMarker struct {
	Generation int `json:"generation"`
	// Reported: the fact DropReady of this generation is in the log.
	Reported bool `json:"reported"`
}

// bindingMarker says what was begun for a binding; it exists from before the
// first deed to after the last report.
type bindingMarker struct {
	Spec     events.BindingSpec `json:"spec"`
	Reported bool               `json:"reported"`
}

func (m markers) dropDir(id events.DropID) string {
	return filepath.Join(m.dir, "drops", string(id))
}

func (m markers) dropFile(id events.DropID) string {
	return filepath.Join(m.dropDir(id), "prepared.json")
}

func (m markers) bindingFile(id events.BindingID) string {
	return filepath.Join(m.dir, "bindings", string(id)+".json")
}

func (m markers) drop(id events.DropID) (dropMarker, bool, error) {
	return readMarker[dropMarker](m.dropFile(id))
}

func (m markers) setDrop(id events.DropID, marker dropMarker) error {
	return writeMarker(m.dropFile(id), marker)
}

func (m markers) binding(id events.BindingID) (bindingMarker, bool, error) {
	return readMarker[bindingMarker](m.bindingFile(id))
}

func (m markers) setBinding(id events.BindingID, marker bindingMarker) error {
	return writeMarker(m.bindingFile(id), marker)
}

func (m markers) removeBinding(id events.BindingID) error {
	return ignoreMissing(os.Remove(m.bindingFile(id)))
}

// drops lists the DROPs that have a folder.
func (m markers) drops() ([]events.DropID, error) {
	entries, err := os.ReadDir(filepath.Join(m.dir, "drops"))
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var found []events.DropID
	for _, entry := range entries {
		if id, err := events.ParseDropID(entry.Name()); err == nil {
			found = append(found, id)
		}
	}
	return found, nil
}

// revision is the revision of the host's stream up to which orders have been
// carried out. One that a power failure has damaged is none: to wake or put to
// sleep once more does no harm, an agent that does not start does.
func (m markers) revision() (events.Revision, error) {
	text, err := os.ReadFile(filepath.Join(m.dir, "revision"))
	if err != nil {
		return 0, ignoreMissing(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, nil
	}
	return events.Revision(n), nil
}

func (m markers) setRevision(revision events.Revision) error {
	return writeWhole(filepath.Join(m.dir, "revision"), strconv.AppendUint(nil, uint64(revision), 10))
}

// readMarker gives a marker and whether there is one. One that a power failure
// has emptied or cut is there and says nothing: what it was about was begun, and
// is done again.
func readMarker[T any](path string) (T, bool, error) {
	var marker, unknown T
	text, err := os.ReadFile(path)
	if err != nil {
		return marker, false, ignoreMissing(err)
	}
	if err := json.Unmarshal(text, &marker); err != nil {
		return unknown, true, nil
	}
	return marker, true, nil
}

func writeMarker(path string, marker any) error {
	text, err := json.Marshal(marker)
	if err != nil {
		return err
	}
	return writeWhole(path, text)
}

// writeWhole replaces a file so that a reader, or a restart, sees the old or
// the new content. It is not synced: a marker that a power failure takes away or
// damages makes the agent do an idempotent deed again.
func writeWhole(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
