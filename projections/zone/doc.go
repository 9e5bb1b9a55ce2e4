// Package zone is the view that the name server answers from: every zone of
// the cell, compiled.
//
// # Where things enter, where state changes
//
// Events enter through State.Apply, which is pure. Beside the zones the state
// holds facts: which environments a site has, which host holds a DROP or a
// binding, who claims a host name. An event changes facts and names the names
// that it concerns; for each of them baseOf says from the facts alone what the
// platform has to say there, and compose puts that together with what an
// operator has added. So a name is the same however its facts came about. At the
// end of a commit each zone that changed gets its new serial and one step in its
// journal.
//
// A Zone holds its names twice, by name for answers and in canonical order for
// neighbours and transfers, both persistent: a commit costs O(log n), readers keep
// what they hold, and Lookup, Before and After allocate nothing. Empty
// non-terminals are in neither: for each name that has names below it, the ones
// right below are counted, and a name is one if it has no records and a count
// (RFC 8020). So what is not there is found without the order, by going up to the
// closest name that is.
//
// # Which zones there are
//
// The platform's domain and the internal domain, by the options; and each zone
// that an operator added. A zone inside another one is delegated from it by
// itself, glue included, and takes its names over. Settings come through the log
// (ZoneAdded, ZoneConfigured), so that a changed address raises the serial;
// what a zone leaves open it takes from the platform's zone, then from
// the options, then from limits.go. Each setting remembers whether a person or a
// start of the platform said it last (Own): a start gives way to people.
//
// # Who says what at a name
//
// The platform says:
//
//   - at every apex: SOA, NS, CAA; and addresses of name servers at their names;
//   - <environment>-<site>.<domain>: the entry addresses, for dev, test and live
//     from the site's creation to its deletion, for branches while they exist;
//   - _<service>._tcp.<environment>-<site>.<domain>: an SRV record with the port
//     that visitors are served at, for every port of the settings at "entry";
//   - host names that environments claim, in any zone but the internal one: the
//     same addresses;
//   - in the internal zone: a host's addresses at its name; and at
//     <server>.<environment>.<site id> those of the host that holds the binding
//     now, for appserver of all hosts that have a DROP of it, with an SRV record
//     at _<service>._tcp below each for every port of the settings. A lost host
//     keeps its names: they follow placements, and what is placed elsewhere has
//     moved when that is in the log.
//
// An operator's records stand beside that. Where both speak of one name:
//
//   - NS and CAA records of the operator replace the platform's, at an apex and
//     at a delegation. The SOA is always the platform's.
//   - In an operator's zone addresses, an alias or a delegation of the operator
//     take the place of the platform's addresses: www can lead to a CDN though
//     an environment claims it.
//   - In the platform's own two zones the platform wins: an operator's set of
//     the same type, an alias and a delegation are not answered while it speaks
//     (actors/zone refuses most of them), other types are.
//   - A proof of control (TXT) joins what TXT records there are.
//   - An alias is alone, whatever else there is (RFC 1034 §3.6.2); an apex has
//     none.
//
// What is hidden is not lost: it is answered when what hides it has gone.
//
// # Cuts and wildcards
//
// A name with NS records below the apex is a cut (RFC 1034 §4.2.1). The highest
// one counts; what stands below is glue at most, is in Nodes and Text, as in a
// transfer (RFC 5936 §3.5), and never in the chain of Before and After. A
// wildcard stands for names below its parent that do not exist (RFC 4592 §2.2.1):
// the platform's names exist, so an operator's *.<domain> does not touch them,
// nor what is below them; an empty non-terminal exists too.
//
// # Serials and journals
//
// A serial is the log's position of the commit that changed the zone last, in 32
// bits (see nextSerial for wrapping). A commit that changes nothing in a zone
// leaves its serial alone. What Changes gives, applied to the records of the old
// serial, is the records of the newest; changes that no list of records tells
// (keys, timers of the SOA) end the journal, and the caller compares with the
// zone of then (Since), or sends the whole zone. A zone that is removed and added again begins a new journal. Zones
// begin with serial 0 in an empty log, and the first commit, whatever it is
// about, gives them a higher one.
//
// Records of DNSSEC are not here, only the public halves of keys: the gateway
// signs.
//
// # Measured
//
// With one address a name: 350 bytes a name of an operator, 440 of the
// platform (long names), all indexes and facts counted.
package zone
