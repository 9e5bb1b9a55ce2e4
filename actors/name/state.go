package name

// State is what a name's stream says; the zero value is a free name.
type State struct {
	By string // "<kind>/<id>" of the holder; empty while the name is free
}
