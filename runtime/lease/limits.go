package lease

// Bounds of the shell; those of the rules are in package terms.
const (
	// maxEntryBytes bounds a lease in the bucket: four short fields.
	maxEntryBytes = 1024
	// maxEffects of one round at once: when a rack goes, its hosts are reported
	// side by side, and the log is not flooded.
	maxEffects = 32
)
