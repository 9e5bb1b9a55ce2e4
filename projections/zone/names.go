package zone

import (
	"slices"
	"strings"
	"unsafe"
)

// A name is in wire form (RFC 1035 §3.1), lower case, unless it is called a
// text: then it has dots, and none at its end.

// wireBytes gives a string's bytes without a copy; who gets them may only read.
func wireBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// wireString gives bytes as a key to look up, which lives no longer than they
// stay as they are.
func wireString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// wireName gives a text's wire form; false for what is no name. Texts of the
// platform have no escapes.
func wireName(text string) (string, bool) {
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	if text == "" || len(text) > maxNameBytes-2 {
		return "", false
	}
	name := make([]byte, 0, len(text)+2)
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabelBytes || strings.ContainsAny(label, "\\\"\x00 ") {
			return "", false
		}
		name = append(append(name, byte(len(label))), label...)
	}
	return string(append(name, 0)), true
}

// textName is the inverse of wireName. A label with a dot in it, which no text
// has, gives a text that no fact is about.
func textName(name string) string {
	text := make([]byte, 0, len(name))
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		if i > 0 {
			text = append(text, '.')
		}
		text = append(text, name[i+1:i+1+int(name[i])]...)
	}
	return string(text)
}

// child gives the name one label below another.
func child(label, name string) string {
	return string(append([]byte{byte(len(label))}, label...)) + name
}

// appendKey appends the key by which names below an apex are ordered. relative
// is the name without the apex. Keys compare as the names do in canonical
// order (RFC 4034 §6.1), and a name's key begins with that of each name above
// it: labels from the right, each ended by a zero; in a label 0 becomes 1 1
// and 1 becomes 1 2, so that a zero is nothing but an end.
func appendKey(key, relative []byte) []byte {
	var ends [maxLabels]uint8 // where labels begin
	labels := 0
	for i := 0; i < len(relative) && labels < maxLabels; i += 1 + int(relative[i]) {
		ends[labels] = uint8(i)
		labels++
	}
	for _, begin := range slices.Backward(ends[:labels]) {
		i := int(begin)
		for _, c := range relative[i+1 : i+1+int(relative[i])] {
			if c <= 1 {
				key = append(key, 1, c+1)
				continue
			}
			key = append(key, c)
		}
		key = append(key, 0)
	}
	return key
}

// hasSuffix says whether a name is at or below another.
func hasSuffix(name, apex string) bool {
	if !strings.HasSuffix(name, apex) {
		return false
	}
	for i := 0; i < len(name); i += 1 + int(name[i]) {
		if len(name)-i == len(apex) {
			return true
		}
	}
	return false
}
