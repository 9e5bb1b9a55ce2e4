// Package keys keeps one random key for each site and each account, outside
// the event log. From a site's key every secret is derived that the platform
// mints for the site: database passwords, salts. Nothing derived is stored; the
// log holds only generation numbers. With either key the personal texts in the
// log are sealed (package events/eventlog/sealed). Destroying a key therefore
// forgets all of that.
//
// Things enter through Ring.Site and Ring.Account, which make a key at its
// first use, and through the methods that destroy one. State is one file of 32
// bytes a key, <dir>/sites/<site UUID> or <dir>/accounts/<account UUID>, mode
// 0600 in a folder of mode 0700 that belongs to the platform's user.
//
// Guaranteed: all callers of all processes on one folder get the same key for
// an id; a key that was handed out survives a power failure; a destroyed key
// is never silently made again (a tombstone, <UUID>.destroyed, stays). A
// Key prints as the word "key" in every verb and in every log handler.
//
// # Several control machines
//
// A ring of OpenShared has the same keys as those of all control machines of the
// cell, by a vault (package vault). The folder is each machine's own lasting
// copy, and is read first: a key that is there needs nobody else. A key is made
// in the vault, once for the cell, and then written to the folder; it is
// destroyed in the vault first. Both are refused as Unavailable while no
// majority of the control machines can be reached, and nothing is made here
// instead. The others take keys and tombstones from the vault as they come (Run),
// or when they start again (Reconcile); a tombstone wins wherever it is. After
// Destroy, a machine that is off or cut off keeps its copy of the key until it
// reaches the vault again.
//
// Not guaranteed: that an overwritten key is gone from the medium. A file
// system that copies on write, or a disk that remaps blocks, may keep the old
// ones; only an encrypted disk helps there.
package keys

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/durable"
)

// errDestroyed tells a key that was destroyed from one that never was.
var errDestroyed = errors.New("it was destroyed")

const (
	tombstoneSuffix = ".destroyed"
	temporaryPrefix = ".new-"
)

// Ring is the folder of keys. Its methods may be called concurrently.
type Ring struct {
	sites, accounts string     // folders
	mu              sync.Mutex // makes this process one caller; other processes are met by rename and tombstone
	shared          *shared    // nil where the machine is alone
}

// Open checks the folder's owner and permissions, making it where it does not
// exist.
func Open(dir string) (*Ring, error) {
	r := &Ring{sites: filepath.Join(dir, "sites"), accounts: filepath.Join(dir, "accounts")}
	for _, folder := range []string{dir, r.sites, r.accounts} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot make the folder of keys")
		}
		if err := checkFolder(folder); err != nil {
			return nil, err
		}
		removeTemporary(folder)
		if err := syncFolder(folder); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// checkFolder refuses a folder that another user owns or may enter.
func checkFolder(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the folder of keys")
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return problem.New(problem.Unavailable, "cannot use %s for keys: it is not a folder", folder)
	case int(owner) != os.Geteuid():
		return problem.New(problem.Denied, "cannot use %s for keys: it belongs to user %d and the platform runs as user %d", folder, owner, os.Geteuid()).
			WithHint("start the platform as the user it was started as before, or: chown -R %d %s", os.Geteuid(), folder)
	case info.Mode().Perm()&0o077 != 0:
		return problem.New(problem.Denied, "cannot use %s for keys: others may enter it (mode %04o)", folder, info.Mode().Perm()).
			WithHint("chmod 0700 %s", folder)
	}
	return nil
}

// removeTemporary drops what a killed process left. A key under way in another
// process at this very moment is made again by it: its rename fails.
func removeTemporary(dir string) {
	leftovers, _ := filepath.Glob(filepath.Join(dir, temporaryPrefix+"*"))
	for _, path := range leftovers {
		_ = os.Remove(path)
	}
}

// Site gives the site's key and makes it at its first use. A site whose key
// was destroyed gives NotFound.
func (r *Ring) Site(id events.SiteID) (Key, error) { return r.get(r.sites, string(id)) }

// Account is Site for an account.
func (r *Ring) Account(id events.AccountID) (Key, error) { return r.get(r.accounts, string(id)) }

// FindSite gives the site's key; NotFound where there is none.
func (r *Ring) FindSite(id events.SiteID) (Key, error) { return r.find(r.sites, string(id)) }

// FindAccount is FindSite for an account.
func (r *Ring) FindAccount(id events.AccountID) (Key, error) { return r.find(r.accounts, string(id)) }

// Destroy forgets the site's key for good. It is idempotent, and it also
// forbids a key that was never made.
func (r *Ring) Destroy(id events.SiteID) error { return r.destroy(r.sites, string(id)) }

// DestroyAccount is Destroy for an account.
func (r *Ring) DestroyAccount(id events.AccountID) error { return r.destroy(r.accounts, string(id)) }

func (r *Ring) get(folder, id string) (Key, error) {
	path, err := pathOf(folder, id)
	if err != nil {
		return Key{}, err
	}
	for range maxCreateAttempts {
		key, err := r.getHere(folder, path, id)
		if !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
		if r.shared != nil {
			if err := r.make(folder, id); err != nil {
				return Key{}, err
			}
		}
	}
	return Key{}, problem.New(problem.Unavailable, "cannot make key %s: its folder changes all the time", id)
}

// getHere gives a key of the folder, and makes it where the machine is alone.
func (r *Ring) getHere(folder, path, id string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, err := readLive(path, id)
	if r.shared != nil || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := create(folder, path); err != nil {
		return Key{}, err
	}
	return readLive(path, id)
}

func (r *Ring) find(folder, id string) (Key, error) {
	path, err := pathOf(folder, id)
	if err != nil {
		return Key{}, err
	}
	key, err := r.readHere(path, id)
	if r.shared != nil && errors.Is(err, fs.ErrNotExist) {
		if err := r.look(folder, id); err != nil {
			return Key{}, err
		}
		key, err = r.readHere(path, id)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, problem.New(problem.NotFound, "key %s is not here", id)
	}
	return key, err
}

func (r *Ring) readHere(path, id string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return readLive(path, id)
}

// readLive gives a key that is there and was not destroyed.
func readLive(path, id string) (Key, error) {
	if err := checkTombstone(path, id); err != nil {
		return Key{}, err
	}
	key, err := readKey(path)
	if err != nil {
		return Key{}, err
	}
	// Destroy in another process overwrites in place: what was read counts
	// only if there is still no tombstone.
	if err := checkTombstone(path, id); err != nil {
		return Key{}, err
	}
	return key, nil
}

func (r *Ring) destroy(folder, id string) error {
	if _, err := pathOf(folder, id); err != nil {
		return err
	}
	here := func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.destroyHere(folder, id)
	}
	if r.shared != nil {
		return r.shared.destroy(r.nameOf(folder, id), here)
	}
	return here()
}

// destroyHere buries and removes a key of the folder; mu is held.
func (r *Ring) destroyHere(folder, id string) error {
	path := filepath.Join(folder, id)
	if err := bury(folder, path); err != nil {
		return err
	}
	if err := overwrite(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot remove key %s", id)
	}
	return syncFolder(folder)
}

// pathOf gives a key's file. The ids of sites and of accounts are both UUIDs.
func pathOf(folder, id string) (string, error) {
	if _, err := events.ParseSiteID(id); err != nil {
		return "", problem.New(problem.Invalid, "cannot use a key: id %.60q is no UUID", id)
	}
	return filepath.Join(folder, id), nil
}

func checkTombstone(path, id string) error {
	_, err := os.Lstat(path + tombstoneSuffix)
	switch {
	case err == nil:
		return problem.Wrap(problem.NotFound, errDestroyed, "key %s is not here", id)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return problem.Wrap(problem.Unavailable, err, "cannot look for key %s", id)
}

// bury writes the tombstone and makes it durable before the key goes.
func bury(folder, path string) error {
	file, err := os.OpenFile(path+tombstoneSuffix, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the tombstone of a key")
	}
	err = errors.Join(file.Sync(), file.Close())
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the tombstone of a key")
	}
	return syncFolder(folder)
}

func readKey(path string) (Key, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Key{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Key{}, problem.Wrap(problem.Unavailable, err, "cannot read a key")
	}
	if info.Mode().Perm()&0o077 != 0 || info.Size() != keyBytes {
		return Key{}, problem.New(problem.Denied, "cannot use key %s: it has mode %04o and %d bytes, and must have 0600 and %d", path, info.Mode().Perm(), info.Size(), keyBytes).
			WithHint("restore the file from a backup of the keys folder")
	}
	secret := new([keyBytes]byte)
	if _, err := file.ReadAt(secret[:], 0); err != nil {
		return Key{}, problem.Wrap(problem.Unavailable, err, "cannot read a key")
	}
	return Key{secret: secret}, nil
}

// create puts a new random key at path unless one is there, durably. Losing
// against another process, or against Destroy, is no error: the caller looks
// again.
func create(folder, path string) error {
	var secret [keyBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a key")
	}
	return install(folder, path, secret[:])
}

// install puts a key at path unless one is there; see create.
func install(folder, path string, secret []byte) error {
	temporary, err := writeTemporary(folder, secret)
	switch {
	case errors.Is(err, unix.ENOSPC):
		return problem.Wrap(problem.Unavailable, err, "cannot make a key: the disk of %s is full", folder).
			WithHint("make room on the disk of the data folder")
	case err != nil:
		return problem.Wrap(problem.Unavailable, err, "cannot make a key").WithHint("look at the free space and the mount options of %s", folder)
	}
	defer os.Remove(temporary)
	err = unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot make a key")
	}
	if _, err := os.Lstat(path + tombstoneSuffix); err == nil {
		_ = os.Remove(path) // Destroy in another process came between: it wins
	}
	return syncFolder(folder)
}

func writeTemporary(dir string, content []byte) (string, error) {
	file, err := os.CreateTemp(dir, temporaryPrefix) // mode 0600
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(file.Name())
		return "", err
	}
	return file.Name(), nil
}

func overwrite(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot overwrite a key")
	}
	var zeros [keyBytes]byte
	_, err = file.WriteAt(zeros[:], 0)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot overwrite a key")
	}
	return nil
}

func syncFolder(dir string) error {
	if err := durable.Sync(dir); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folder of keys durable")
	}
	return nil
}

// Destroyed lists the sites whose keys were destroyed here.
func (r *Ring) Destroyed() ([]events.SiteID, error) {
	entries, err := os.ReadDir(r.sites)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot list the keys")
	}
	var sites []events.SiteID
	for _, entry := range entries {
		if name, found := strings.CutSuffix(entry.Name(), tombstoneSuffix); found {
			sites = append(sites, events.SiteID(name))
		}
	}
	return sites, nil
}
