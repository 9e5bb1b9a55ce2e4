package events

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reason makes a text fit a Reason field: valid UTF-8 of at most
// MaxReasonBytes.
func Reason(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= MaxReasonBytes {
		return text
	}
	const ellipsis = "…"
	end := MaxReasonBytes - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// CheckText refuses a text that a person gives (label, message) when it is
// longer than maxBytes, no UTF-8, or holds a control character, which could
// drive the terminal that shows it.
func CheckText(what, text string, maxBytes int) error {
	switch {
	case len(text) > maxBytes:
		return fmt.Errorf("%s has %d bytes, %d are allowed", what, len(text), maxBytes)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s is not valid UTF-8", what)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%s has a control character", what)
	}
	return nil
}
