package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync"

	"pantheon/events"
	"pantheon/events/problem"
)

// Keys holds the keys. The owner is one site or one account.
type Keys interface {
	// Key gives the owner's secret: at least 32 bytes of entropy, always the
	// same. With create it is made where there is none. A key that was
	// destroyed, or is not there, is a problem.NotFound.
	Key(owner events.Owner, create bool) (string, error)
	// Destroy destroys the key for good, before it returns.
	Destroy(owner events.Owner) error
}

// unreadable stands for a sealed text that its key does not open.
const unreadable = "(unreadable)"

// Box seals and opens texts. Its methods may be called concurrently.
type Box struct {
	keys Keys

	mu      sync.Mutex // over ciphers and every use of keys: what Forget has destroyed is in no cache
	ciphers map[events.Owner]*textCipher
}

// NewBox makes a Box with these keys.
func NewBox(keys Keys) *Box {
	return &Box{keys: keys, ciphers: map[events.Owner]*textCipher{}}
}

// Seal gives the sealed form of a text that is not empty. A text that is sealed
// for the same owner stays as it is; one whose owner was forgotten is
// forgotten.
func (b *Box) Seal(owner events.Owner, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if of, _, is := events.ParseSealed(text); is && of == owner {
		return text, nil
	}
	c, err := b.cipher(owner, true)
	if problem.KindOf(err) == problem.NotFound {
		return events.Forgotten, nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot seal a text: %w", err)
	}
	return events.FormatSealed(owner, c.seal(text)), nil
}

// Open gives the clear text of a sealed one, events.Forgotten where its key is
// gone; any other text is given back.
func (b *Box) Open(text string) string {
	owner, box, is := events.ParseSealed(text)
	if !is {
		return text
	}
	c, err := b.cipher(owner, false)
	if problem.KindOf(err) == problem.NotFound {
		return events.Forgotten
	}
	if err != nil {
		return unreadable
	}
	clear, err := c.open(box)
	if err != nil {
		return unreadable
	}
	return clear
}

// Forget destroys the key of one site or account. It is idempotent.
func (b *Box) Forget(owner events.Owner) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for cached := range b.ciphers {
		if owner.Site != "" && cached.Site == owner.Site || owner.Account != "" && cached.Account == owner.Account {
			delete(b.ciphers, cached)
		}
	}
	return b.keys.Destroy(owner)
}

func (b *Box) cipher(owner events.Owner, create bool) (*textCipher, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ready := b.ciphers[owner]; ready {
		return c, nil
	}
	var secret string
	for _, part := range []events.Owner{{Site: owner.Site}, {Account: owner.Account}} {
		if part == (events.Owner{}) {
			continue
		}
		key, err := b.keys.Key(part, create)
		if err != nil {
			return nil, err
		}
		secret += fmt.Sprintf("%d:%s", len(key), key)
	}
	if secret == "" {
		return nil, problem.New(problem.Internal, "internal error: a personal text has no owner")
	}
	c, err := newTextCipher(secret, owner)
	if err != nil {
		return nil, err
	}
	if len(b.ciphers) >= maxCiphers {
		clear(b.ciphers)
	}
	b.ciphers[owner] = c
	return c, nil
}

// textCipher seals the texts of one owner.
type textCipher struct {
	aead     cipher.AEAD
	nonceKey []byte
	owner    []byte // associated data
}

func newTextCipher(secret string, owner events.Owner) (*textCipher, error) {
	var keys [2][]byte
	for i, use := range []string{"pantheon: sealed text 1, encryption", "pantheon: sealed text 1, nonce"} {
		var err error
		if keys[i], err = hkdf.Key(sha256.New, []byte(secret), nil, use, keyBytes); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(keys[0])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &textCipher{aead, keys[1], []byte(events.FormatSealed(owner, nil))}, nil
}

func (c *textCipher) seal(text string) []byte {
	mac := hmac.New(sha256.New, c.nonceKey)
	mac.Write(c.owner)
	mac.Write([]byte{0})
	mac.Write([]byte(text))
	nonce := mac.Sum(nil)[:c.aead.NonceSize()]
	return c.aead.Seal(nonce, nonce, []byte(text), c.owner)
}

func (c *textCipher) open(box []byte) (string, error) {
	size := c.aead.NonceSize()
	if len(box) < size {
		return "", fmt.Errorf("a box has %d bytes", len(box))
	}
	text, err := c.aead.Open(nil, box[:size], box[size:], c.owner)
	return string(text), err
}
