package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"pantheon/events/problem"
)

// The first byte of a value, and of what is sealed in it.
const (
	formatOne     = 1
	kindSecret    = 1
	kindTombstone = 2
)

const (
	domain     = "pantheon vault 1"
	nonceBytes = 12
)

// sealer turns secrets into values of the bucket, and names into its keys.
type sealer struct {
	aead cipher.AEAD // puts a random nonce before its output
	mac  []byte      // key of all MACs
}

// newSealer derives its keys from the private key of the cell's CA, in PEM, as
// identity.Authority gives it.
func newSealer(caKey []byte, cell string) (*sealer, error) {
	var authority *ecdsa.PrivateKey
	if block, _ := pem.Decode(caKey); block != nil {
		parsed, _ := x509.ParsePKCS8PrivateKey(block.Bytes) // its error may hold a part of it
		authority, _ = parsed.(*ecdsa.PrivateKey)
	}
	if authority == nil || cell == "" {
		return nil, problem.New(problem.Invalid, "cannot open the vault: it needs the key of the cell's certificate authority and the cell's id").
			WithHint("only a control machine has the key, in <data>/cell/ca")
	}
	scalar, err := authority.Bytes() // of fixed length, whatever the encoding was
	if err != nil {
		return nil, problem.New(problem.Invalid, "cannot open the vault: the key of the certificate authority is damaged")
	}
	defer clear(scalar)
	var derived [2][]byte
	for i, use := range []string{"seal", "names"} {
		if derived[i], err = hkdf.Key(sha256.New, scalar, []byte(cell), domain+", "+use, sha256.Size); err != nil {
			return nil, problem.Wrap(problem.Internal, err, "internal error: cannot derive the keys of the vault")
		}
	}
	block, err := aes.NewCipher(derived[0])
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "internal error: cannot derive the keys of the vault")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "internal error: cannot derive the keys of the vault")
	}
	return &sealer{aead: aead, mac: derived[1]}, nil
}

// digest is a MAC: of equal parts it is the same for all who have the key, and
// it tells others nothing.
func (s *sealer) digest(use string, part []byte) []byte {
	mac := hmac.New(sha256.New, s.mac)
	mac.Write([]byte(use))
	mac.Write([]byte{0})
	mac.Write(part)
	return mac.Sum(nil)
}

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// keyOf gives the key of a name in the bucket.
func (s *sealer) keyOf(name string) string {
	return keyEncoding.EncodeToString(s.digest("name", []byte(name))[:20])
}

// seal gives the value for a key of the bucket, which it is bound to.
func (s *sealer) seal(key string, kind byte, name string, content []byte) []byte {
	plain := make([]byte, 0, 1+2*binary.MaxVarintLen32+len(name)+len(content)+padBytes)
	plain = append(plain, kind)
	plain = append(binary.AppendUvarint(plain, uint64(len(name))), name...)
	plain = append(binary.AppendUvarint(plain, uint64(len(content))), content...)
	if rest := len(plain) % padBytes; rest > 0 {
		plain = append(plain, make([]byte, padBytes-rest)...)
	}
	defer clear(plain)
	return s.aead.Seal([]byte{formatOne}, nil, plain, associated(key))
}

func associated(key string) []byte { return []byte(domain + "\n" + key) }

var errForeign = errors.New("it was sealed with the key of another certificate authority, or changed afterwards")

// open is the inverse of seal.
func (s *sealer) open(key string, value []byte) (kind byte, name string, content []byte, err error) {
	if len(value) == 0 || len(value) > MaxValueBytes || value[0] != formatOne {
		return 0, "", nil, fmt.Errorf("it has %d bytes or a form that this version does not know", len(value))
	}
	plain, err := s.aead.Open(nil, nil, value[1:], associated(key))
	if err != nil || len(plain) == 0 {
		return 0, "", nil, errForeign
	}
	kind, rest := plain[0], plain[1:]
	var parts [2][]byte
	for i := range parts {
		size, used := binary.Uvarint(rest)
		if used <= 0 || size > uint64(len(rest)-used) {
			return 0, "", nil, errors.New("what is sealed in it is damaged")
		}
		parts[i], rest = rest[used:used+int(size)], rest[used+int(size):]
	}
	if kind != kindSecret && kind != kindTombstone {
		return 0, "", nil, fmt.Errorf("it is of a kind (%d) that this version does not know", kind)
	}
	return kind, strings.Clone(string(parts[0])), parts[1], nil
}
