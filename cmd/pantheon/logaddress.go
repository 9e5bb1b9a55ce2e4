package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/events/eventlog/eventstoredb"
	"pantheon/events/problem"
)

// foreignLog is a log that this platform does not hold itself.
type foreignLog struct {
	options eventstoredb.Options
	// public is the address without user and password.
	public string
}

// logFlag reads what --log or PANTHEON_LOG says; nil for the platform's own log.
func (c *cli) logFlag(given string) (*foreignLog, error) {
	text := given
	if text == "" {
		text = c.getenv("PANTHEON_LOG")
	}
	if file, is := strings.CutPrefix(text, "@"); is {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot read the address of the log")
		}
		text = strings.TrimSpace(string(content))
	}
	if text == "" {
		return nil, nil
	}
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "esdb" && address.Scheme != "esdb+discover" || address.Host == "" {
		return nil, problem.New(problem.Invalid, "cannot use what --log says: it is no address of an EventStoreDB").
			WithHint("--log @FILE, with esdb://USER:PASSWORD@HOST:2113?tls=true in the file; without --log the platform holds its log itself")
	}
	if _, has := address.User.Password(); has && given == text {
		return nil, problem.New(problem.Invalid, "cannot take a password from --log: others can read a process's arguments").
			WithHint("put the address into a file, --log @FILE, or into PANTHEON_LOG")
	}
	query := address.Query()
	name := query.Get("stream")
	if name == "" {
		name = eventstoredb.DefaultName
	}
	query.Del("stream")
	address.RawQuery = query.Encode()
	return &foreignLog{
		options: eventstoredb.Options{URL: address.String(), Name: name},
		public:  address.Scheme + "://" + address.Host + "?stream=" + url.QueryEscape(name),
	}, nil
}

// logNote is kept in <data>/log.json: a platform whose log is elsewhere must not
// begin a new one because a flag was forgotten.
type logNote struct {
	Log string `json:"log"` // public address
}

// logFolder is where a platform that does not run has its log.
func logFolder(data string) (string, error) {
	var note logNote
	text, err := os.ReadFile(filepath.Join(data, "log.json"))
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return filepath.Join(data, "log"), nil
	case err != nil:
		return "", problem.Wrap(problem.Invalid, err, "cannot read %s", filepath.Join(data, "log.json"))
	}
	return "", problem.New(problem.Unsupported, "cannot read the log in %s: it is at %s", data, note.Log).
		WithHint("while the platform runs, pantheon log export -o FILE; then use the file")
}

// checkLogAddress compares where the log is said to be with where it was.
func (p *platform) checkLogAddress() error {
	var before logNote
	text, err := os.ReadFile(p.path("log.json"))
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Invalid, err, "cannot read %s", p.path("log.json"))
	}
	now := p.options.foreignLog
	switch _, err := os.Stat(p.path("log")); {
	case now == nil && before.Log == "":
		return nil
	case now == nil:
		return problem.New(problem.Conflict, "cannot start: the log of this platform is at %s", before.Log).
			WithHint("start it with --log or PANTHEON_LOG as before; to hold the log here, export it and import it into an empty data folder")
	case p.options.cluster != "" || p.cell != nil:
		return problem.New(problem.Unsupported, "cannot start: the machines of a cell hold their log themselves, and --log is for a platform that is alone").
			WithHint("without --log; pantheon log export and import bring the log along")
	case before.Log == "" && err == nil:
		return problem.New(problem.Conflict, "cannot start: this platform's log is in %s, and --log names another one", p.path("log")).
			WithHint("pantheon log export -o FILE, then pantheon log import --from FILE --log … into an empty data folder")
	case before.Log != "" && before.Log != now.public:
		return problem.New(problem.Conflict, "cannot start: the log of this platform is at %s, and --log names %s", before.Log, now.public)
	}
	return noteLogAddress(p.path("log.json"), now)
}

func noteLogAddress(file string, log *foreignLog) error {
	text, err := json.Marshal(logNote{log.public})
	if err != nil {
		return err
	}
	return writeSynced(file, append(text, '\n'))
}

// foreignCellLog is a log at an EventStoreDB. What a cell of several machines
// keeps beside its log is not there: this platform is alone.
type foreignCellLog struct{ *eventstoredb.Log }

var errAlone = problem.New(problem.Unsupported, "a platform with its log in an EventStoreDB is alone")

func (foreignCellLog) Bucket(context.Context, natsjs.KeyValueConfig) (natsjs.KeyValue, error) {
	return nil, errAlone
}

func (foreignCellLog) ObjectStore(context.Context, natsjs.ObjectStoreConfig) (natsjs.ObjectStore, error) {
	return nil, errAlone
}

func (foreignCellLog) Conn() *nats.Conn { return nil }
