package events

// NameClaimed gives a unique name to a stream until it is released.
type NameClaimed struct {
	Name NameID `json:"name"`
	By   string `json:"by"` // "<kind>/<id>" of the holder
}

// NameReleased frees the name.
type NameReleased struct {
	Name NameID `json:"name"`
	By   string `json:"by"`
}

func (NameClaimed) isEvent()  {}
func (NameReleased) isEvent() {}
