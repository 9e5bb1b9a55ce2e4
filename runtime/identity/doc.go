// Package identity says who a machine of the cell is, and proves it: the
// cell's own certificate authority (CA), the certificates of its machines and
// DROPs, and the text of the token by which a machine joins.
//
// A cell has one CA, an ECDSA P-256 key made with the cell. Its key is a file of
// mode 0600 in <data>/cell/ca, on control machines only. A machine's
// certificate names the cell, the host and its roles in URIs:
//
//	pantheon://<cell id>/host/<host id>
//	pantheon://<cell id>/role/<role>
//
// and nothing else of it counts: no common name, no DNS name, no address.
//
// Things enter in four places. [Authority.SignHost] and [Authority.SignBinding]
// turn a certificate request into a certificate; [ParseToken] reads a token;
// [Node] is a machine's own key and certificate on disk; [Node.Server] and
// [Node.Client] give the two sides of a connection, and [PeerOf] tells who is on
// its other end. State changes in files only, each replaced by a rename, and
// in the certificate that Node holds in an atomic pointer: a new one is used
// from the next handshake on.
//
// # A machine's way into a cell
//
//	token text ──ParseToken──▶ addresses, CA fingerprint, secret
//	NewRequest ──▶ key, CSR ──▶ control machine: redeem the invitation, SignHost
//	certificate, CA ──Install──▶ <data>/cell/node.pem, ca.pem ──▶ Renew at 2/3 of 24 h
//
// # Guaranteed
//
//   - A connection made by Server and Client is TLS 1.3 with a certificate of
//     the cell's CA on both sides, in force, of this cell, of a host, and of
//     the host that was meant where the caller named one. Sessions are never
//     resumed, so each connection was checked.
//   - What a certificate says comes from the caller of SignHost. From the
//     request only the public key is taken, after its signature was checked.
//   - A DROP's certificate is never taken for a machine's.
//   - A machine that was off for longer than its certificate lives can renew it
//     (Rejoin) for RejoinFor, and do nothing else with it. Whether it still is
//     of the cell is for the caller to ask.
//   - A secret prints as the word "secret" and leaves this package only in the
//     token's text and, as its SHA-256, for the log.
package identity
