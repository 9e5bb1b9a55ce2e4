package identity

import "time"

// Bounds and times.
const (
	// HostLifetime of a machine's certificate. A machine whose key was stolen
	// and that was removed from the cell is refused by name at once; a day is
	// for whoever has not heard of it.
	HostLifetime = 24 * time.Hour
	// renewAfter is when a certificate is renewed: 2/3 of its life, so that
	// eight hours without any control machine cost nobody a connection.
	renewNumerator, renewDenominator = 2, 3
	// RejoinFor is how long after its end a machine's certificate still may be
	// used to ask for the next one: a machine that was in a cupboard for a month.
	RejoinFor = 30 * 24 * time.Hour
	// BindingLifetime of a DROP's client certificate. It is a file of the
	// application's home, and some applications read it once; a week survives
	// every wait between two deploys that the agent does not renew it in.
	BindingLifetime = 7 * 24 * time.Hour
	// authorityLifetime: the CA is not rotated in this version; 20 years are
	// longer than the machines of the cell.
	authorityLifetime = 20 * 365 * 24 * time.Hour
	// clockSkew is how far a machine's clock may be behind the signer's.
	clockSkew = time.Hour

	// MaxRequestBytes of a certificate request; one for P-256 has about 200.
	MaxRequestBytes = 4 << 10
	// MaxCertificateBytes of a certificate in PEM; ours have about 1,000.
	MaxCertificateBytes = 16 << 10
	// MaxTokenBytes of a token's text: 16 addresses of 60 bytes, and the rest.
	MaxTokenBytes = 4 << 10
	// MaxAddresses in a token.
	MaxAddresses = 16
	// maxRoles in a certificate: several times what there is.
	maxRoles = 16
	// secretBytes of an invitation's secret: as strong as its SHA-256.
	secretBytes = 32
	// retryFirst doubles up to retryLast while a renewal fails.
	retryFirst = time.Second
	retryLast  = 5 * time.Minute
	// checkEvery is how often the wall clock is asked whether a renewal is due:
	// timers stand still while a machine sleeps.
	checkEvery = time.Minute
)
