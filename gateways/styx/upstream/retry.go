package upstream

// Request is what the rules need to know of a request.
type Request struct {
	Method string
	// BodySpent: bytes of the body were taken and cannot be given again.
	BodySpent bool
}

// Result is how an attempt ended.
type Result struct {
	// Refused: nothing of a response exists and none will.
	Refused bool
	// Status of the response; 0 if Refused.
	Status int
}

// Statuses with a meaning to the router.
const (
	StatusBadGateway = 502
	// StatusElsewhere is an application's wish to be asked on another DROP,
	// and what the original's "CMS not installed" page has.
	StatusElsewhere = 560
)

// Retryable says whether another target may be tried after the result. A
// refused request was not begun by anybody, so every method may go elsewhere;
// a 502 or 560 may come from half-done work, so only methods that change
// nothing may.
func Retryable(request Request, result Result) bool {
	switch {
	case request.BodySpent:
		return false
	case result.Refused:
		return true
	case result.Status != StatusBadGateway && result.Status != StatusElsewhere:
		return false
	}
	switch request.Method {
	case "POST", "PUT", "PATCH", "DELETE":
		return false
	}
	return true
}

// CountsAgainst says whether a result makes its target unhealthy.
func CountsAgainst(result Result) bool { return result.Refused || result.Status >= 500 }
