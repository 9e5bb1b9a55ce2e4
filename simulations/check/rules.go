package check

// Rule is a promise, by the name that a violation of it carries.
type Rule struct{ Name, Meaning string }

// Rules are all of them.
func Rules() []Rule {
	return []Rule{
		{"capacity", "no host admits more than it offers (rule (A) of actors/host)"},
		{"placement", "a DROP's own stream names one host at a time"},
		{"twice", "no DROP or binding is admitted on two hosts once all is settled"},
		{"serving", "no DROP is served by a host that gave it up longer than a bound ago"},
		{"routing", "no route names a DROP that its host never reported ready, or a host that was lost longer than a bound ago"},
		{"memory", "awake DROPs fit their host (rule (B)), or one is alone"},
		{"ready", "an environment with traffic has a ready DROP within a bound, while nothing fails"},
		{"wake", "a request to a DROP is answered by its machine: admitted, held or refused, and admitted where it is awake"},
		{"availability", "once everything is healed, every request is served"},
		{"liveness", "once everything is healed, all is as it was asked for within a bound"},
		{"balance", "moves for the sake of balance come to an end, and do not undo each other"},
		{"once", "a command has one commit in its stream, a wish one effect"},
		{"effect", "an order is carried out once, a service provided and retired once"},
		{"refused", "a command that was refused has no commit"},
		{"acknowledged", "a command that was acknowledged is in the log"},
		{"order", "all readers see the log's commits in the log's order, and nobody believes in one that is not there"},
		{"linearizable", "appends to a stream, and what senders are told of where a DROP is, can have happened one after the other"},
		{"refold", "what is folded from the whole log anew equals every view and snapshot"},
		{"codec", "the log takes every commit that an actor decides"},
		{"log", "the log can be read from its beginning, and its chains are whole"},
		{"zone", "the names of the zone agree with the routing table and with the hosts that hold what they stand for, at every position"},
		{"names", "a name is held by a site that is there"},
		{"panic", "no code of ours panics"},
		{"shell", "a node of real actors starts"},
	}
}

// Meaning of a rule's name; empty for none.
func Meaning(name string) string {
	for _, rule := range Rules() {
		if rule.Name == name {
			return rule.Meaning
		}
	}
	return ""
}
