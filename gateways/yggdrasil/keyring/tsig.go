package keyring

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"pantheon/events/problem"
)

// secret is one TSIG key in memory.
type secret struct {
	algorithm string // "hmac-sha256"
	key       []byte
}

// TSIGKey is what may be shown of a TSIG key.
type TSIGKey struct {
	Name      string // absolute, lower case: "secondary.example.com."
	Algorithm string // without a dot: "hmac-sha256"
}

// algorithms of new keys, and the octets of their secrets. Older hashes are
// not to be used any more (RFC 8945 §6).
var algorithms = map[string]int{"hmac-sha256": secretBytes, "hmac-sha384": 48, "hmac-sha512": 64}

// CanonicalTSIGName gives a key's name as the Ring knows it.
func CanonicalTSIGName(name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".") + "."
	valid := len(name) <= 254 && !strings.HasPrefix(name, ".") && !strings.Contains(name, "..") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
	for label := range strings.SplitSeq(name, ".") {
		valid = valid && len(label) <= 63
	}
	if !valid {
		return "", problem.New(problem.Invalid, "cannot use %.80q as the name of a TSIG key", name).
			WithHint("it is written like a host name, for example secondary1.example.com")
	}
	return name, nil
}

// NewTSIG makes a key and gives its secret in base64, as other servers want
// it, this once.
func (r *Ring) NewTSIG(name, algorithm string) (TSIGKey, string, error) {
	octets, known := algorithms[algorithm]
	if !known {
		return TSIGKey{}, "", problem.New(problem.Invalid, "cannot use the TSIG algorithm %.40q", algorithm).
			WithHint("algorithms are %s", strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
	}
	name, err := CanonicalTSIGName(name)
	if err != nil {
		return TSIGKey{}, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets := maps.Clone(*r.secrets.Load())
	if _, taken := secrets[name]; taken {
		return TSIGKey{}, "", problem.New(problem.Conflict, "cannot make TSIG key %s: there is one of this name", name).
			WithHint("its secret is not shown again; pantheon dns tsig remove %s, then make another", name)
	}
	if len(secrets) >= maxTSIGKeys {
		return TSIGKey{}, "", problem.New(problem.Exhausted, "cannot make TSIG key %s: there are %d", name, len(secrets))
	}
	key := make([]byte, octets)
	_, _ = rand.Read(key) // crypto/rand.Read never fails (Go 1.24)
	encoded := base64.StdEncoding.EncodeToString(key)
	if err := write(r.tsigPath(name), clause(name, algorithm, encoded)); err != nil {
		return TSIGKey{}, "", err
	}
	secrets[name] = secret{algorithm, key}
	r.secrets.Store(&secrets)
	return TSIGKey{name, algorithm}, encoded, nil
}

func (r *Ring) tsigPath(name string) string { return filepath.Join(r.tsig, name+"key") }

func clause(name, algorithm, encoded string) []byte {
	return fmt.Appendf(nil, "key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", name, algorithm, encoded)
}

var clausePattern = regexp.MustCompile(`(?s)^\s*key\s+"?([^\s"{]+)"?\s*\{\s*algorithm\s+"?([a-z0-9-]+?)\.?"?\s*;\s*secret\s+"?([A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;\s*$`)

// readSecrets reads the whole folder. A file that cannot be understood is an
// error: transfers that fail one by one are harder to explain.
func readSecrets(folder string) (map[string]secret, error) {
	secrets := map[string]secret{}
	files, err := os.ReadDir(folder)
	if err != nil {
		return secrets, problem.Wrap(problem.Unavailable, err, "cannot read the TSIG keys")
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".key") || strings.HasPrefix(file.Name(), ".") {
			continue
		}
		text, err := read(filepath.Join(folder, file.Name()))
		if err != nil {
			return secrets, err
		}
		parts := clausePattern.FindSubmatch(text)
		if parts == nil {
			return secrets, problem.New(problem.Unavailable, "cannot read the TSIG key in %s", filepath.Join(folder, file.Name())).
				WithHint("it holds one key clause of named.conf; restore it from a backup or remove it")
		}
		name, err := CanonicalTSIGName(string(parts[1]))
		if err != nil {
			return secrets, err
		}
		key, err := base64.StdEncoding.DecodeString(string(parts[3]))
		if err != nil {
			return secrets, problem.New(problem.Unavailable, "cannot read the secret of TSIG key %s: it is no base64", name)
		}
		secrets[name] = secret{string(parts[2]), key}
	}
	return secrets, nil
}

// TSIG gives a key by its absolute name in lower case. The secret must not be
// changed.
func (r *Ring) TSIG(name string) (algorithm string, key []byte, known bool) {
	found, known := (*r.secrets.Load())[name]
	return found.algorithm, found.key, known
}

// TSIGs gives what may be shown of all keys, by name.
func (r *Ring) TSIGs() []TSIGKey {
	secrets := *r.secrets.Load()
	keys := make([]TSIGKey, 0, len(secrets))
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		keys = append(keys, TSIGKey{name, secrets[name].algorithm})
	}
	return keys
}

// RemoveTSIG forgets a key for good.
func (r *Ring) RemoveTSIG(name string) error {
	name, err := CanonicalTSIGName(name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets := maps.Clone(*r.secrets.Load())
	if _, known := secrets[name]; !known {
		return problem.New(problem.NotFound, "cannot find TSIG key %s", name).WithHint("pantheon dns tsig list")
	}
	if err := remove(r.tsigPath(name)); err != nil {
		return err
	}
	delete(secrets, name)
	r.secrets.Store(&secrets)
	return nil
}
