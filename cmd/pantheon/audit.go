package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections/audit"
)

func (c *cli) auditCommand() *cobra.Command {
	return noun("audit", "Prove what is in the log, and that nobody changed it",
		c.auditHeadCommand(), c.auditProveCommand(), c.auditVerifyCommand())
}

func auditHeadColumns() []column[api.AuditHead] {
	return []column[api.AuditHead]{
		{"size", func(h api.AuditHead) string { return fmt.Sprint(h.Size) }},
		{"position", func(h api.AuditHead) string { return fmt.Sprint(uint64(h.Position)) }},
		{"root", func(h api.AuditHead) string { return h.Root }},
		{"time", func(h api.AuditHead) string { return timeText(h.Time) }},
		{"key", func(h api.AuditHead) string { return h.Key }},
	}
}

func (c *cli) auditHeadCommand() *cobra.Command {
	var note bool
	cmd := &cobra.Command{
		Use: "head", Short: "Show the newest signed head of the log's tree", Args: arguments(0, 0),
		Long: `head shows what the platform has signed of its log last: how many commits there
were, up to which position, and the root of the tree over them. Keep one outside
the platform (--note prints it as it was signed), and the public key: with them
anybody can check later that the log has only grown.`,
		Example: "  pantheon audit head\n  pantheon audit head --field key > cell.pub\n  pantheon audit head --note > monday.head",
		RunE: func(cmd *cobra.Command, _ []string) error {
			head, err := fetch[api.AuditHead](cmd.Context(), c, "audit/head")
			if err != nil {
				return err
			}
			if note {
				_, err := io.WriteString(c.out, head.Note)
				return err
			}
			return showOne(c, head, auditHeadColumns())
		},
	}
	cmd.Flags().BoolVar(&note, "note", false, "print the signed note and nothing else")
	return cmd
}

func (c *cli) auditProveCommand() *cobra.Command {
	var growth bool
	cmd := &cobra.Command{
		Use: "prove POSITION | --consistency SIZE [SIZE]", Short: "Prove that a commit is in the log, or that the log has only grown",
		Args: arguments(1, 2),
		Long: `prove prints a proof that can be checked without the platform, by
pantheon audit verify --proof: that the commit at POSITION is in the log, or,
with --consistency, that the log of the first SIZE is the beginning of that of
the second. SIZE is that of a signed head, in commits; the second one is the
newest without it.`,
		Example: "  pantheon audit prove 1742 > commit.proof\n  pantheon audit prove --consistency 1500 --format json",
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers := make([]uint64, len(args))
			for i, arg := range args {
				n, err := strconv.ParseInt(arg, 10, 64)
				if err != nil || n < 1 {
					return problem.New(problem.Invalid, "cannot read %q: it must be a number from 1 on", arg)
				}
				numbers[i] = uint64(n)
			}
			if growth {
				return c.proveGrowth(cmd.Context(), numbers)
			}
			if len(args) > 1 {
				return usageError(cmd, "one position is proven at a time")
			}
			proof, err := fetch[audit.Proof](cmd.Context(), c, fmt.Sprintf("audit/proof?position=%d", numbers[0]))
			if err != nil {
				return err
			}
			return c.printProof(proof, proof.Text())
		},
	}
	cmd.Flags().BoolVar(&growth, "consistency", false, "prove growth between two heads")
	return cmd
}

func (c *cli) proveGrowth(ctx context.Context, sizes []uint64) error {
	path := fmt.Sprintf("audit/consistency?from=%d", sizes[0])
	if len(sizes) > 1 {
		path += fmt.Sprintf("&to=%d", sizes[1])
	}
	growth, err := fetch[audit.Consistency](ctx, c, path)
	if err != nil {
		return err
	}
	return c.printProof(growth, growth.Text())
}

// printProof prints the proof's own text, or its JSON: it has no columns.
func (c *cli) printProof(proof any, text string) error {
	switch c.format {
	case "json":
		return writeJSON(c.out, proof)
	case "table":
		_, err := io.WriteString(c.out, text)
		return err
	}
	return problem.New(problem.Invalid, "cannot print a proof in format %q", c.format).WithHint("without --format it is text; the other is json")
}

// provenProof is what a proof that was checked says.
type provenProof struct {
	Proof    string          `json:"proof"` // commit or growth
	Position events.Position `json:"position,omitzero"`
	Commit   string          `json:"commit,omitzero"`
	From     int64           `json:"from,omitzero"`
	Size     int64           `json:"size"`
	Signed   string          `json:"signed"`
}

func provenColumns() []column[provenProof] {
	return []column[provenProof]{
		{"proof", func(p provenProof) string { return p.Proof }},
		{"position", func(p provenProof) string { return zeroEmpty(uint64(p.Position)) }},
		{"commit", func(p provenProof) string { return p.Commit }},
		{"from", func(p provenProof) string { return zeroEmpty(uint64(p.From)) }},
		{"size", func(p provenProof) string { return fmt.Sprint(p.Size) }},
		{"signed", func(p provenProof) string { return p.Signed }},
	}
}

func zeroEmpty(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// verifyProof checks a proof from a file, against the public key and, where one
// is given, a head that its holder trusts.
func (c *cli) verifyProof(o verifyOptions) error {
	key, err := o.verifier()
	if err != nil {
		return err
	}
	text, err := c.readFile(o.proof)
	if err != nil {
		return err
	}
	proof, growth, err := audit.ReadProof(text)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot read the proof").WithHint("pantheon audit prove makes one")
	}
	var result provenProof
	var head audit.Head
	if proof != nil {
		head, err = proof.Check(key)
		result = provenProof{Proof: "commit", Position: proof.Position, Commit: proof.Commit}
	} else {
		head, err = growth.Check(key)
		result = provenProof{Proof: "growth", From: growth.From}
	}
	if err != nil {
		return problem.Wrap(problem.Conflict, err, "cannot accept the proof")
	}
	for _, text := range o.headTexts {
		trusted, err := audit.OpenHead(text, key)
		if err != nil {
			return problem.Wrap(problem.Conflict, err, "cannot trust the head")
		}
		if err := fits(trusted, head, growth); err != nil {
			return err
		}
	}
	result.Size, result.Signed = head.Size, timeText(head.Time)
	return showOne(c, result, provenColumns())
}

// fits says whether a proof is about the head that somebody holds.
func fits(trusted, head audit.Head, growth *audit.Consistency) error {
	switch {
	case trusted.Size == head.Size && trusted.Root == head.Root:
		return nil
	case trusted.Size == head.Size:
		return problem.New(problem.Conflict, "cannot accept the proof: two logs were signed: of both a head with %d commits, with different roots", head.Size).
			WithHint("keep both heads: together they show that the signer has two histories")
	case growth != nil && trusted.Size == growth.From && trusted.Root.String() == growth.Root:
		return nil
	case growth != nil && trusted.Size == growth.From:
		return problem.New(problem.Conflict, "cannot accept the proof: the log has not grown from the one of your head, which has another root").
			WithHint("keep your head: with it anybody can see that the log was rewritten")
	}
	return problem.New(problem.Invalid, "cannot compare: your head has %d commits, the proof's %d", trusted.Size, head.Size).
		WithHint("pantheon audit prove --consistency %d %d", min(trusted.Size, head.Size), max(trusted.Size, head.Size))
}

// readFile reads a small file, or standard input.
func (c *cli) readFile(name string) ([]byte, error) {
	in := c.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, problem.Wrap(problem.NotFound, err, "cannot read the file")
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxProofFileBytes))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read %s", name)
	}
	return text, nil
}

// maxProofFileBytes bounds a proof or head in a file; one has 2 KiB.
const maxProofFileBytes = 64 << 10

// headTexts reads the files of heads.
func (c *cli) headTexts(names []string) ([]string, error) {
	texts := make([]string, len(names))
	for i, name := range names {
		text, err := c.readFile(name)
		if err != nil {
			return nil, err
		}
		texts[i] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	return texts, nil
}
