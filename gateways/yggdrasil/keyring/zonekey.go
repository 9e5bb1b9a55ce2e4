package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// ZoneKey is the public half of a key that signs a zone.
type ZoneKey struct {
	Tag    uint16
	Public []byte // as in a DNSKEY's rdata
}

// NewZoneKey makes a key for the zone with this apex (uncompressed wire form,
// lower case), with a tag that is none of those taken: validators would have
// to try both.
func (r *Ring) NewZoneKey(apex []byte, flags uint16, taken []uint16) (ZoneKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range maxTagAttempts {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return ZoneKey{}, problem.Wrap(problem.Unavailable, err, "cannot make a key for the zone")
		}
		key, err := publicHalf(private, flags)
		if err != nil {
			return ZoneKey{}, err
		}
		if slices.Contains(taken, key.Tag) {
			continue
		}
		text, err := privateText(private)
		if err != nil {
			return ZoneKey{}, err
		}
		err = write(filepath.Join(r.zones, fileName(apex, key.Tag)), text)
		if problem.KindOf(err) == problem.Conflict {
			continue // a key of before, which the log does not know any more
		}
		return key, err
	}
	return ZoneKey{}, problem.New(problem.Unavailable, "cannot make a key for the zone: every tag is taken")
}

func publicHalf(private *ecdsa.PrivateKey, flags uint16) (ZoneKey, error) {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return ZoneKey{}, problem.Wrap(problem.Internal, err, "cannot encode a public key")
	}
	public := point[1:] // without the octet that says: uncompressed
	return ZoneKey{Tag: Tag(DNSKEY(flags, public)), Public: public}, nil
}

const (
	formatLine    = "Private-key-format: v1.3"
	algorithmLine = "Algorithm: 13 (ECDSAP256SHA256)"
	privateName   = "PrivateKey: "
)

func privateText(private *ecdsa.PrivateKey) ([]byte, error) {
	scalar, err := private.Bytes()
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot encode a private key")
	}
	return fmt.Appendf(nil, "%s\n%s\n%s%s\n", formatLine, algorithmLine, privateName, base64.StdEncoding.EncodeToString(scalar)), nil
}

// ZoneKey gives the private half of a zone's key; NotFound where this machine
// does not have it.
func (r *Ring) ZoneKey(apex []byte, tag uint16) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(r.zones, fileName(apex, tag))
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		encoded, found := strings.CutPrefix(strings.TrimSpace(line), privateName)
		if !found {
			continue
		}
		if scalar, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			if private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
				return private, nil
			}
		}
	}
	return nil, problem.New(problem.Unavailable, "cannot read the private key in %s", path).
		WithHint("restore the file from a backup, or roll the key: pantheon dns key roll")
}

// RemoveZoneKey forgets a key for good; again is no error.
func (r *Ring) RemoveZoneKey(apex []byte, tag uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return remove(filepath.Join(r.zones, fileName(apex, tag)))
}
