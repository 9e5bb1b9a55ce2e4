// Package require describes what a part of the platform needs from the machine
// it runs on, so that one command can name everything that is missing together
// with the line that installs it. Each runtime package lists its own needs;
// nothing here installs anything.
package require

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Requirement is one thing that has to be on the machine.
type Requirement struct {
	Name    string // what it is called: "git"
	Found   string // where it was found; empty where it is missing
	Install string // the line that installs it on Debian
	Why     string // what does not work without it
	// Optional: without it the platform runs, and only what Why says does not.
	Optional bool
}

// Missing says whether the thing was not found.
func (r Requirement) Missing() bool { return r.Found == "" }

// systemFolders are searched after PATH: a user's PATH lacks sbin on Debian,
// and that is where servers are.
var systemFolders = []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"}

// Find gives the absolute path of a program, empty where there is none.
func Find(program string) string {
	if path, err := exec.LookPath(program); err == nil && filepath.IsAbs(path) {
		return path
	}
	for _, folder := range systemFolders {
		path := filepath.Join(folder, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// Program is the requirement of a program of a Debian package.
func Program(program, debianPackage, why string) Requirement {
	return Requirement{
		Name:    program,
		Found:   Find(program),
		Install: "apt-get install -y " + debianPackage,
		Why:     why,
	}
}
