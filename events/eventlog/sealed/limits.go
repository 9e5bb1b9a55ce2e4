package sealed

const (
	// keyBytes of AES-256.
	keyBytes = 32
	// maxCiphers bounds the ciphers that are kept ready, about 1 KiB each. The
	// API shows up to 1000 sites at once; when it is full it is emptied.
	maxCiphers = 4096
)
