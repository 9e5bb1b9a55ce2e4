package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
)

// cli is what commands share: the streams, and the flags that all of them have.
type cli struct {
	in     io.Reader
	out    io.Writer // results, for people and programs
	errors io.Writer // progress, questions and errors
	getenv func(string) string

	data      string
	api       string
	tokenFile string
	format    string
	fields    []string
	field     string
	yes       bool
	noWait    bool
	at        string // the moment that reads show; empty for now
	// verbose shows every step of a workflow, also of a quick one.
	verbose bool
}

// run carries out one command line and gives the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errors)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return c.fail(ctx, err)
}

// fail says what went wrong and what to do next.
func (c *cli) fail(ctx context.Context, err error) int {
	var quiet quietError
	if errors.As(err, &quiet) {
		return quiet.code
	}
	if ctx.Err() != nil {
		fmt.Fprintln(c.errors, "pantheon: interrupted")
		return interruptedExitCode
	}
	fmt.Fprintf(c.errors, "pantheon: %s\n", printable(err.Error()))
	if hint := problem.HintOf(err); hint != "" {
		fmt.Fprintf(c.errors, "hint: %s\n", printable(hint))
	}
	return problem.KindOf(err).ExitCode()
}

// interruptedExitCode is the shell's code of a process that SIGINT ended.
const interruptedExitCode = 130

// quietError ends the process with a code and without words: they have been
// said already.
type quietError struct{ code int }

func (e quietError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "pantheon",
		Short:         "A hosting platform for PHP sites",
		Long:          "pantheon turns Linux machines into a hosting platform for PHP sites.\n\n`pantheon up` runs it; the other commands talk to one that runs.",
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&c.data, "data", c.env("PANTHEON_DATA", "data"), "the platform's data folder `FOLDER` (PANTHEON_DATA); its socket is used where --api is not given")
	flags.StringVar(&c.api, "api", c.getenv("PANTHEON_API"), "`URL` of a platform's API on another machine (PANTHEON_API); needs a token")
	flags.StringVar(&c.tokenFile, "token-file", c.getenv("PANTHEON_TOKEN_FILE"), "`FILE` that holds a machine token (PANTHEON_TOKEN_FILE, or the token in PANTHEON_TOKEN)")
	flags.StringVar(&c.format, "format", "table", "`FORMAT` of the result: table, json or csv")
	flags.StringSliceVar(&c.fields, "fields", nil, "columns to show, separated by commas")
	flags.StringVar(&c.field, "field", "", "the one `COLUMN` to show, without a header")
	flags.BoolVarP(&c.yes, "yes", "y", false, "answer yes to every question")
	flags.StringVar(&c.at, "at", "", "show what was at `MOMENT`: a position of the log, a time (RFC 3339, 2006-01-02, \"2006-01-02 15:04\"), or how long ago (90s, 2h, 3d)")
	root.PersistentPreRunE = c.checkAt
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(cmd, err.Error())
	})
	root.AddCommand(
		c.upCommand(), c.joinCommand(), c.downCommand(), c.upgradeCommand(),
		c.siteCommand(), c.envCommand(), c.cellCommand(), c.clusterCommand(), c.hostCommand(), c.dropCommand(), c.placementCommand(), c.bindingCommand(),
		c.workflowCommand(), c.eventsCommand(), c.auditCommand(), c.logCommand(), c.upstreamCommand(), c.tokenCommand(), c.accountCommand(),
		c.routeCommand(), c.diffCommand(),
		c.dnsCommand(), c.simulateCommand(), c.doctorCommand(), c.versionCommand(),
	)
	return root
}

func (c *cli) env(name, otherwise string) string {
	if value := c.getenv(name); value != "" {
		return value
	}
	return otherwise
}

// noun makes a command that only holds others.
func noun(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: group}
	cmd.AddCommand(commands...)
	return cmd
}

// group is what a command that only holds others does: help, or a word on
// what is misspelt.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	err := usageError(cmd, fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0]))
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return problem.New(problem.Invalid, "%s", err.Error()).WithHint("%s %s", cmd.CommandPath(), strings.Join(similar, " or "))
	}
	return err
}

func usageError(cmd *cobra.Command, text string) error {
	return problem.New(problem.Invalid, "%s", text).WithHint("%s --help", cmd.CommandPath())
}

// arguments checks their number; usage names them.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError(cmd, "this command is written: "+cmd.UseLine())
		}
		return nil
	}
}
