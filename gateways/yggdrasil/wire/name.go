package wire

import "bytes"

// NameBytes gives the length of the uncompressed name that data begins with; 0
// if it is not valid.
func NameBytes(data []byte) int {
	at := 0
	for at < len(data) && at < MaxNameBytes {
		length := int(data[at])
		if length > 63 {
			return 0
		}
		at += 1 + length
		if length == 0 {
			return at
		}
	}
	return 0
}

// IsBelow says that a name lies at or below another one, both in lower case.
func IsBelow(name, above []byte) bool {
	for at := 0; len(name)-at >= len(above); at += 1 + int(name[at]) {
		if len(name)-at == len(above) {
			return bytes.Equal(name[at:], above)
		}
	}
	return false
}

// ParseName turns the text of a name into its wire form, in lower case. The
// root dot at the end may be left out. It knows the escapes of RFC 1035 §5.1.
func ParseName(text string) (name []byte, ok bool) {
	if text == "." {
		return []byte{0}, true
	}
	name = []byte{0}
	label := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '.':
			if len(name)-label-1 == 0 {
				return nil, false
			}
			name[label] = byte(len(name) - label - 1)
			label = len(name)
			name = append(name, 0)
			continue
		case c == '\\' && i+3 < len(text) && isDigits(text[i+1:i+4]):
			value := int(text[i+1]-'0')*100 + int(text[i+2]-'0')*10 + int(text[i+3]-'0')
			if value > 255 {
				return nil, false
			}
			c = byte(value)
			i += 3
		case c == '\\':
			if i++; i == len(text) {
				return nil, false
			}
			c = text[i]
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		name = append(name, c)
		if len(name)-label-1 > 63 {
			return nil, false
		}
	}
	if length := len(name) - label - 1; length > 0 {
		name[label] = byte(length)
		name = append(name, 0)
	}
	return name, len(name) > 1 && len(name) <= MaxNameBytes
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// AppendName appends the text of a name in wire form, with its root dot.
func AppendName(to, name []byte) []byte {
	if len(name) <= 1 {
		return append(to, '.')
	}
	for at := 0; at < len(name) && name[at] != 0; {
		end := min(at+1+int(name[at]), len(name))
		for _, c := range name[at+1 : end] {
			switch {
			case c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$':
				to = append(to, '\\', c)
			case c <= ' ' || c >= 0x7f:
				to = append(to, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				to = append(to, c)
			}
		}
		to = append(to, '.')
		at = end
	}
	return to
}

// AppendBitmap appends the type bitmap of an NSEC record (RFC 4034 §4.1.2).
// types must be sorted.
func AppendBitmap(to []byte, types []uint16) []byte {
	for i := 0; i < len(types); {
		window := types[i] >> 8
		begin := len(to)
		to = append(to, byte(window), 0)
		for ; i < len(types) && types[i]>>8 == window; i++ {
			low := int(types[i] & 0xff)
			for len(to)-begin-2 <= low/8 {
				to = append(to, 0)
			}
			to[begin+2+low/8] |= 0x80 >> (low % 8)
		}
		to[begin+1] = byte(len(to) - begin - 2)
	}
	return to
}
