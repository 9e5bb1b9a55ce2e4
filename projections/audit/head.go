package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"pantheon/events"
)

// Head is the tree at one moment.
type Head struct {
	Size     int64
	Position events.Position // of the last commit; 0 for an empty tree
	Root     tlog.Hash
	Time     time.Time // when it was signed, to the second
}

// SignedHead is a head with its note.
type SignedHead struct {
	Head
	Note string
}

// HeadAt gives the state's head.
func (s State) HeadAt(now time.Time) Head {
	return Head{s.size, s.last, s.Root(), now.UTC().Truncate(time.Second)}
}

// Sign gives the head as a signed note.
func (h Head) Sign(signer note.Signer) (string, error) {
	signed, err := note.Sign(&note.Note{Text: h.text(signer.Name())}, signer)
	return string(signed), err
}

func (h Head) text(name string) string {
	return fmt.Sprintf("%s\n%d\n%s\nposition %d\ntime %s\n", name, h.Size, h.Root, h.Position, h.Time.UTC().Format(time.RFC3339))
}

// OpenHead checks a note's signature and reads its head.
func OpenHead(text string, key note.Verifier) (Head, error) {
	if len(text) > maxHeadBytes {
		return Head{}, fmt.Errorf("a head of %d bytes, %d are allowed", len(text), maxHeadBytes)
	}
	opened, err := note.Open([]byte(text), note.VerifierList(key))
	if err != nil {
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &unknown) {
			return Head{}, fmt.Errorf("it is not signed with the key %s", key.Name())
		}
		return Head{}, errors.New("its signature is wrong")
	}
	head, name, err := parseHead(opened.Text)
	if err == nil && name != key.Name() {
		err = fmt.Errorf("it is of the log %.60q", name)
	}
	return head, err
}

// ReadHead reads a head without a look at its signature.
func ReadHead(text string) (Head, error) {
	body, _, found := strings.Cut(text, "\n\n")
	if !found || len(text) > maxHeadBytes {
		return Head{}, errHead
	}
	head, _, err := parseHead(body + "\n")
	return head, err
}

var errHead = errors.New("it is no head of a log")

// parseHead is the inverse of text.
func parseHead(text string) (head Head, name string, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[5] != "" {
		return head, "", errHead
	}
	name = lines[0]
	root, rootErr := base64.StdEncoding.DecodeString(lines[2])
	position, isPosition := strings.CutPrefix(lines[3], "position ")
	at, isTime := strings.CutPrefix(lines[4], "time ")
	if rootErr != nil || len(root) != tlog.HashSize || !isPosition || !isTime {
		return head, "", errHead
	}
	head.Root = tlog.Hash(root)
	number, positionErr := strconv.ParseUint(position, 10, 64)
	head.Position = events.Position(number)
	var sizeErr, timeErr error
	head.Size, sizeErr = strconv.ParseInt(lines[1], 10, 64)
	head.Time, timeErr = time.Parse(time.RFC3339, at)
	if errors.Join(sizeErr, positionErr, timeErr) != nil || head.Size < 0 || head.text(name) != text {
		return head, "", errHead
	}
	return head, name, nil
}
