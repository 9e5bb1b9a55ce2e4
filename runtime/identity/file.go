package identity

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"pantheon/events/problem"
	"pantheon/runtime/durable"
)

func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folder of the cell's certificates")
	}
	return nil
}

// readFile bounds what is read.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 2*MaxCertificateBytes))
}

// readSecret refuses a file that others may read. NotFound where there is
// none.
func readSecret(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.NotFound, "there is no %s", path)
	case err != nil:
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read a key")
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0:
		return nil, problem.New(problem.Denied, "cannot use %s: others may read it (mode %04o)", path, info.Mode().Perm()).WithHint("chmod 0600 %s", path)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read a key")
	}
	return text, nil
}

// replaceFile puts a file in place as a whole, durably.
func replaceFile(dir, name string, content []byte, mode os.FileMode) error {
	err := func() error {
		file, err := os.CreateTemp(dir, ".new-") // mode 0600
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		_, err = file.Write(content)
		if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
			return err
		}
		if err := os.Rename(file.Name(), filepath.Join(dir, name)); err != nil {
			return err
		}
		return durable.Sync(dir)
	}()
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write %s", filepath.Join(dir, name)).WithHint("look at the free space and the mount options of %s", dir)
	}
	return nil
}
