package drop

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pantheon/runtime/identity"
)

// bindingPEM is the certificate and its key in one file, and the last one
// written: when it was made is when all were.
const bindingPEM = "binding.pem"

// CertifiedAt says when the certificate in the DROP's certs folder was made;
// zero where there is none, fs.ErrNotExist where there is no folder yet.
func (p Paths) CertifiedAt() (time.Time, error) {
	info, err := os.Lstat(p.sub("certs", bindingPEM))
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Lstat(p.sub("certs"))
		return time.Time{}, err
	}
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Certify replaces the files of the certs folder of a prepared DROP, each as a
// whole, readable by the environment's user alone. A reader who wants a
// certificate and a key that belong together takes binding.pem.
func (p Paths) Certify(uid uint32, made identity.BindingFiles) error {
	dir, err := os.OpenRoot(p.sub("certs"))
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{"ca.pem", made.Authority}, {"binding.crt", made.Certificate}, {"binding.key", made.Key}, {bindingPEM, made.PEM},
	} {
		if err := replace(dir, f.name, f.content, uid); err != nil {
			return err
		}
	}
	return nil
}

// replace is not durable: what a machine lost with its power is made again.
func replace(dir *os.Root, name string, content []byte, uid uint32) error {
	next := ".new-" + filepath.Base(name)
	if err := dir.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := dir.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if os.Getuid() == 0 {
		err = errors.Join(err, file.Chown(int(uid), int(uid)))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return dir.Rename(next, name)
}
