package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
)

// A machine of a cell goes on as what it was when it starts the next time: it
// keeps what it was told with join or up, in <data>/cell/flags.json. What is said
// anew, by a flag or in the environment, takes the place of that.

const flagsFile = "flags.json"

// remembered are the flags of up that say what a machine is. Where it is reached
// and the cell's domain are in cellFile.
var remembered = []string{
	"host-name", "zone", "memory", "bare", "http", "api-listen", "metrics", "trusted-proxies",
	"dns", "dns-internal-networks", "dns-resolver",
}

func rememberedFlags(dir string) (flags map[string]string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, flagsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, cannotWrite(err)
	}
	if err := json.Unmarshal(text, &flags); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot read %s", filepath.Join(dir, flagsFile)).
			WithHint("delete it, and start with the flags that the machine was joined with")
	}
	return flags, nil
}

// recallFlags sets what is not said anew.
func (c *cli) recallFlags(cmd *cobra.Command) error {
	flags, err := rememberedFlags(filepath.Join(c.data, "cell"))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		variable := "PANTHEON_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if !slices.Contains(remembered, name) || cmd.Flags().Changed(name) || c.getenv(variable) != "" {
			continue
		}
		if err := cmd.Flags().Set(name, flags[name]); err != nil {
			return problem.Wrap(problem.Invalid, err, "cannot start with --%s %.100s, as before", name, flags[name]).
				WithHint("say another one, or take it out of %s", filepath.Join(c.data, "cell", flagsFile))
		}
	}
	return nil
}

// rememberFlags keeps what was said, on a machine of a cell.
func (c *cli) rememberFlags(cmd *cobra.Command) error {
	dir := filepath.Join(c.data, "cell")
	if _, known, err := loadCellSettings(dir); err != nil || !known {
		return err
	}
	before, err := rememberedFlags(dir)
	if err != nil {
		return err
	}
	now := maps.Clone(before)
	for _, name := range remembered {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			now[name] = flag.Value.String()
		}
	}
	if maps.Equal(before, now) {
		return nil
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, flagsFile), append(text, '\n'))
}
