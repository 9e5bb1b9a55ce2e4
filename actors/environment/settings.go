package environment

import (
	"path"
	"regexp"
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// Bounds of the settings.
const (
	MaxWorkers   = 64        // PHP workers of one DROP; the original's largest plan had 32
	MinMemoryMiB = 64        // php-fpm with the usual extensions and one worker
	MaxMemoryMiB = 16 << 10  // half of a usual host
	MaxDrops     = 32        // of one environment
	MinIdleS     = 10        // less wakes more than it saves
	MaxIdleS     = 7 * 86400 // a week; 0 is never
	// MaxProtectedPaths and MaxPathBytes are the original's bounds of
	// pantheon.yml.
	MaxProtectedPaths = 24
	MaxPathBytes      = 255
)

var versionPattern = regexp.MustCompile(`^[0-9]{1,2}\.[0-9]{1,2}$`)

// DefaultSettings gives the settings an environment begins with.
func DefaultSettings(name events.EnvironmentName) events.EnvironmentSettings {
	settings := events.EnvironmentSettings{
		PHPVersion:       "8.2",
		Connection:       events.ConnectionGit,
		Drops:            1,
		Workers:          4,
		MemoryMiB:        512,
		IdleAfterSeconds: 60 * 60,
	}
	if name == "live" {
		settings.IdleAfterSeconds = 12 * 60 * 60
	}
	return settings
}

// check says what is wrong with settings.
func check(s events.EnvironmentSettings) error {
	switch {
	case !versionPattern.MatchString(s.PHPVersion):
		return invalid("the PHP version %.20q is not like 8.2", s.PHPVersion)
	case s.Connection != events.ConnectionGit && s.Connection != events.ConnectionSFTP:
		return invalid("the connection mode %.20q is neither git nor sftp", s.Connection)
	case s.Workers < 1 || s.Workers > MaxWorkers:
		return invalid("%d workers are outside 1 to %d", s.Workers, MaxWorkers)
	case s.MemoryMiB < MinMemoryMiB || s.MemoryMiB > MaxMemoryMiB:
		return invalid("%d MiB of memory are outside %d to %d", s.MemoryMiB, MinMemoryMiB, MaxMemoryMiB)
	case s.Drops < 0 || s.Drops > MaxDrops:
		return invalid("%d DROPs are outside 0 to %d", s.Drops, MaxDrops)
	case s.IdleAfterSeconds != 0 && (s.IdleAfterSeconds < MinIdleS || s.IdleAfterSeconds > MaxIdleS):
		return invalid("%d seconds before sleep are outside %d to %d", s.IdleAfterSeconds, MinIdleS, MaxIdleS).WithHint("use 0 for a DROP that never sleeps")
	}
	return checkPaths(s)
}

func checkPaths(s events.EnvironmentSettings) error {
	if mount := s.FileMount; mount != "" {
		inside := path.Clean(mount) == mount && !path.IsAbs(mount) && mount != "." && mount != ".." && !strings.HasPrefix(mount, "../")
		if !inside || events.CheckText("", mount, MaxPathBytes) != nil {
			return invalid("the file mount %.60q is no clean path below the document root", mount).WithHint("like sites/default/files")
		}
	}
	if len(s.ProtectedWebPaths) > MaxProtectedPaths {
		return invalid("%d protected paths, %d are allowed", len(s.ProtectedWebPaths), MaxProtectedPaths)
	}
	for _, protected := range s.ProtectedWebPaths {
		if !strings.HasPrefix(protected, "/") || events.CheckText("", protected, MaxPathBytes) != nil {
			return invalid("the protected path %.60q does not begin with / or is longer than %d bytes", protected, MaxPathBytes)
		}
	}
	return nil
}

func invalid(format string, args ...any) *problem.Error {
	return problem.New(problem.Invalid, format, args...)
}
