// Package durable makes what was written survive a power failure. A file is
// durable when its content is synced and its folder too; a rename, when the
// folder is.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Sync makes a file's content, or a folder's list of names, durable.
func Sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// SyncTree makes all files and folders from root down durable. Call it on
// something fresh, before the rename that gives it its name.
func SyncTree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !(entry.IsDir() || entry.Type().IsRegular()) {
			return err
		}
		return Sync(path)
	})
}
