package terms

import "time"

// Bounds of leases. Hold and LostAfter are the two that agreement rests on.
const (
	// RenewEvery leaves two more attempts within Hold when one is lost.
	RenewEvery = 400 * time.Millisecond
	// Hold is how long a host counts itself as alive after it sent a renewal.
	Hold = 1200 * time.Millisecond
	// LostAfter is how long a watch waits for the next renewal. It is a quarter
	// more than Hold: clocks that differ in rate by less are harmless (real ones
	// differ by a ten-thousandth). A host lost means that much of an outage for
	// what it served, out of the three seconds there are.
	LostAfter = 1500 * time.Millisecond
	// AskEvery is how often a host looks whether it was granted a lease.
	AskEvery = 100 * time.Millisecond
	// RenewWithin bounds one exchange of a host with the bucket, so that an
	// attempt that hangs does not take the place of the next.
	RenewWithin = 350 * time.Millisecond
	// WatchEvery is how often a watch reads the bucket.
	WatchEvery = 100 * time.Millisecond
	// MaxGap between two rounds of a watch that still counts as time in which it
	// could read: a few rounds, less than a renewal's period on top.
	MaxGap = 500 * time.Millisecond
	// ReportWithin is how long after its revocation a watch may report a host as
	// lost.
	ReportWithin = time.Second
	// GrantAfter is how long a watch has seen a host ask for its return before it
	// grants: all reports of its loss have been made or given up by then, because
	// nobody has read the revoked entry since.
	GrantAfter = 2 * time.Second
)
