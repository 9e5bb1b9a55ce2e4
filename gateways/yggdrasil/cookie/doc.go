// Package cookie makes and checks the server cookies of DNS (RFC 7873) in the
// form that servers of all makes share (RFC 9018), so that several machines
// behind one address can check each other's.
//
// A cookie enters through [Jar.Check] and leaves through [Jar.Append]. A Jar
// never changes.
package cookie
