package zone

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"
)

// batch is some records on their way into the view: taken apart together, which
// is half of the work, and filed in their order.
type batch struct {
	records [][]byte
	facts   []any // a *site, *environment or *host for each, nil for other records
	errs    []error
}

// read files all records.
func (l *loader) read(records iter.Seq2[[]byte, error]) error {
	var next batch
	for data, err := range records {
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return errors.New("cannot load zones: empty record")
		}
		if next.records = append(next.records, bytes.Clone(data)); len(next.records) < batchRecords {
			continue
		}
		if err := l.file(&next); err != nil {
			return err
		}
		next.records = next.records[:0]
	}
	return l.file(&next)
}

// takeApart reads the facts.
func (b *batch) takeApart(options Options) {
	b.facts, b.errs = make([]any, len(b.records)), make([]error, len(b.records))
	var halves []func()
	for first := 0; first < len(b.records); first += batchRecords / 2 {
		halves = append(halves, func() {
			for i := first; i < min(first+batchRecords/2, len(b.records)); i++ {
				b.facts[i], b.errs[i] = factOf(b.records[i][0], b.records[i][1:])
			}
		})
	}
	options.together(halves)
}

func factOf(what byte, data []byte) (any, error) {
	var fact any
	switch what {
	case recordSite:
		fact = &site{}
	case recordEnvironment:
		fact = &environment{}
	case recordHost:
		fact = &host{}
	default:
		return nil, nil
	}
	return fact, json.Unmarshal(data, fact)
}

func (l *loader) file(b *batch) error {
	b.takeApart(l.options)
	for i, record := range b.records {
		err := b.errs[i]
		switch fact := b.facts[i].(type) {
		case nil:
			err = l.load(record[0], record[1:])
		case *site:
			l.sites = l.sites.Set(l.edit, fact.ID, fact)
			l.siteNames = l.siteNames.Set(l.edit, fact.Name, fact.ID)
		case *environment:
			l.environments = l.environments.Set(l.edit, fact.ID, fact)
			for _, text := range fact.Claims {
				l.setClaim(text, fact.ID)
			}
		case *host:
			l.hosts = l.hosts.Set(l.edit, fact.ID, fact)
		}
		if err != nil {
			return fmt.Errorf("cannot load zones: record %q: %w", record[0], err)
		}
	}
	return nil
}

// load files a record that is no fact. It may keep data.
func (l *loader) load(what byte, data []byte) error {
	switch what {
	case recordPosition:
		return json.Unmarshal(data, &l.position)
	case recordZone:
		var one savedZone
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		return l.loadZone(one)
	case recordNode:
		return l.loadNode(&reader{rest: data})
	case recordChange:
		return l.loadChange(&reader{rest: data})
	}
	return errors.New("unknown kind of record")
}
