package zone

import "unsafe"

// wireBytes gives a string's bytes without a copy; who gets them may only read.
func wireBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// wireString gives bytes as a key to look up, which lives no longer than they
// stay as they are.
func wireString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
