package api

import (
	"iter"
	"net/url"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// Lists come in pages, in the way of the original: limit is the number of
// items, start the id of the last one the client has. An item keeps its place
// while it exists, so a list that changes meanwhile neither repeats nor hides
// what stays.

func pageLimit(query url.Values) (int, error) {
	if text := query.Get("limit"); text != "" {
		return parseLimit(text)
	}
	return defaultPageItems, nil
}

// startIsGone answers a page that goes on from what has ended meanwhile.
func startIsGone() error {
	return problem.New(problem.Conflict, "cannot go on with the list: its last item is gone").WithHint("begin again")
}

// page gives a page of a short list, in the order of the ids.
func page[T any](query url.Values, items []T, id func(T) string) ([]T, error) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(id(a), id(b)) })
	start := query.Get("start")
	return collect(query, func(yield func(T) bool) {
		for _, item := range items {
			if id(item) > start && !yield(item) {
				return
			}
		}
	})
}

// collect gives the first items, as many as the query's limit allows.
func collect[T any](query url.Values, items iter.Seq[T]) ([]T, error) {
	limit, err := pageLimit(query)
	if err != nil {
		return nil, err
	}
	all := []T{}
	for item := range items {
		if len(all) == limit {
			break
		}
		all = append(all, item)
	}
	return all, nil
}
