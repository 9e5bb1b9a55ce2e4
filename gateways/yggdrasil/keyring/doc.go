// Package keyring keeps the secrets of the name server outside the event log:
// the private keys that sign zones, and the TSIG keys that transfers are
// authenticated with. What the log holds of either is its name and, of a
// zone's key, the public half.
//
// Things enter through Open, which reads all TSIG keys, and through the methods
// that make and remove keys. State is one file a key, mode 0600, in folders of
// mode 0700 that belong to the platform's user:
//
//	<dir>/zones/K<zone>+013+<tag>.private  BIND's private key format 1.3
//	<dir>/tsig/<name>key                   a key clause of named.conf
//
// so that dig -k, dnssec-signzone, or another server's import read them as they
// are.
//
// Guaranteed: a key that was handed out is durable; a name is never given to a
// second key while the first is there; no error and no log line holds a secret.
// TSIG reads no file and waits for nobody: requests of strangers ask for it.
package keyring
