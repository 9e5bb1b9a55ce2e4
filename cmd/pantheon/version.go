package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
)

// version is set by the build task from git; a plain `go build` leaves it
// empty, and the module's build information speaks.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	info, known := debug.ReadBuildInfo()
	if !known {
		return "unknown"
	}
	revision, modified := "", ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = shortHash(setting.Value)
		case "vcs.modified":
			if setting.Value == "true" {
				modified = "-dirty"
			}
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + modified
}

// cellProtocol is what the machines of a cell speak with one another: requests
// by NATS and the mesh, buckets, and the files of a cell. It rises when a machine
// of the version before could not take part any longer; events have versions of
// their own.
var cellProtocol = func() int {
	if other, err := strconv.Atoi(protocolText); err == nil {
		return other
	}
	return 2
}()

// protocolText is set in a build that stands for a version with another
// cellProtocol, in tests.
var protocolText string

// versionRecord is what `pantheon version` tells.
type versionRecord struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
	// Protocol is cellProtocol.
	Protocol int `json:"protocol"`
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this binary", Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			record := versionRecord{versionText(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, cellProtocol}
			if c.format == "table" && c.field == "" && len(c.fields) == 0 {
				_, err := fmt.Fprintf(c.out, "pantheon %s (%s, %s)\n", record.Version, record.Go, record.System)
				return err
			}
			return showOne(c, record, []column[versionRecord]{
				{"version", func(r versionRecord) string { return r.Version }},
				{"go", func(r versionRecord) string { return r.Go }},
				{"system", func(r versionRecord) string { return r.System }},
				{"protocol", func(r versionRecord) string { return number(r.Protocol) }},
			})
		},
	}
}
