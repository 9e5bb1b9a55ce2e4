package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"pantheon/events/problem"
)

// column is one field of a record as people see it.
type column[T any] struct {
	name  string
	value func(T) string
}

// show prints records in the format that was asked for: a table, CSV, or JSON
// with the API's own records. --fields picks and orders the columns of each.
func show[T any](c *cli, records []T, columns []column[T]) error {
	picked, err := pick(c, columns)
	if err != nil {
		return err
	}
	switch {
	case c.field != "":
		for _, record := range records {
			fmt.Fprintln(c.out, printable(picked[0].value(record)))
		}
		return nil
	case c.format == "json" && len(c.fields) == 0:
		return writeJSON(c.out, records)
	case c.format == "json":
		return writeJSON(c.out, objects(records, picked))
	}
	if c.format == "csv" {
		header, rows := cells(records, picked, printable)
		return writeCSV(c.out, header, rows)
	}
	header, rows := cells(records, picked, cell)
	return writeTable(c.out, header, rows)
}

// showOne prints one record: a line for each field.
func showOne[T any](c *cli, record T, columns []column[T]) error {
	picked, err := pick(c, columns)
	if err != nil {
		return err
	}
	switch {
	case c.field != "" || c.format == "csv":
		return show(c, []T{record}, columns)
	case c.format == "json" && len(c.fields) == 0:
		return writeJSON(c.out, record)
	case c.format == "json":
		return writeJSON(c.out, objects([]T{record}, picked)[0])
	}
	rows := make([][]string, len(picked))
	for i, column := range picked {
		rows[i] = []string{column.name, cell(column.value(record))}
	}
	return writeTable(c.out, nil, rows)
}

// pick gives the columns that --fields or --field names.
func pick[T any](c *cli, columns []column[T]) ([]column[T], error) {
	if !slices.Contains([]string{"table", "json", "csv"}, c.format) {
		return nil, problem.New(problem.Invalid, "cannot print in format %q", c.format).WithHint("formats are table, json and csv")
	}
	names := c.fields
	if c.field != "" {
		names = []string{c.field}
	}
	if len(names) == 0 {
		return columns, nil
	}
	picked := make([]column[T], 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(columns, func(column column[T]) bool { return column.name == name })
		if i < 0 {
			known := make([]string, len(columns))
			for j, column := range columns {
				known[j] = column.name
			}
			return nil, problem.New(problem.Invalid, "cannot show field %q: there is none", name).
				WithHint("fields here are %s", strings.Join(known, ", "))
		}
		picked = append(picked, columns[i])
	}
	return picked, nil
}

func cells[T any](records []T, columns []column[T], text func(string) string) (header []string, rows [][]string) {
	for _, column := range columns {
		header = append(header, column.name)
	}
	for _, record := range records {
		row := make([]string, len(columns))
		for i, column := range columns {
			row[i] = text(column.value(record))
		}
		rows = append(rows, row)
	}
	return header, rows
}

func objects[T any](records []T, columns []column[T]) []map[string]string {
	all := make([]map[string]string, len(records))
	for i, record := range records {
		all[i] = make(map[string]string, len(columns))
		for _, column := range columns {
			all[i][column.name] = column.value(record)
		}
	}
	return all
}

// cell makes a value fit a table: one line, a dash for nothing.
func cell(value string) string {
	if value == "" {
		return "-"
	}
	return printable(value)
}

// printable keeps text from driving the terminal: error texts of tenants'
// programs may hold anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError:
			return '\uFFFD'
		}
		return r
	}, text)
}

// writeTable aligns the columns and never wraps: a terminal can, a program
// that reads it cannot undo it.
func writeTable(out io.Writer, header []string, rows [][]string) error {
	lines := rows
	if header != nil {
		upper := make([]string, len(header))
		for i, name := range header {
			upper[i] = strings.ToUpper(name)
		}
		lines = append([][]string{upper}, rows...)
	}
	var widths []int
	for _, line := range lines {
		for i, text := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var all strings.Builder
	for _, line := range lines {
		for i, text := range line {
			all.WriteString(text)
			if i < len(line)-1 {
				all.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		all.WriteByte('\n')
	}
	_, err := io.WriteString(out, all.String())
	return err
}

func writeCSV(out io.Writer, header []string, rows [][]string) error {
	w := csv.NewWriter(out)
	if err := w.Write(header); err != nil {
		return err
	}
	return w.WriteAll(rows)
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
