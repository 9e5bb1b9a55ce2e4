package zone

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/events/problem"
)

// types an operator may add. SOA is made from the settings; DNSKEY, RRSIG,
// NSEC, CDS and CDNSKEY come from the keys; DNAME is not answered.
var types = [...]string{
	"A", "AAAA", "AFSDB", "CAA", "CERT", "CNAME", "DS", "HINFO", "HTTPS", "LOC", "MX", "NAPTR", "NS", "OPENPGPKEY", "PTR", "RP",
	"SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI",
}

// canonicalName gives a name as the log holds it; false for what is none. Only
// its first label may be a wildcard (RFC 4592 §2.1.1).
func canonicalName(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 {
		return "", false
	}
	for i, label := range strings.Split(name, ".") {
		if label == "*" && i == 0 {
			continue
		}
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, true
}

// nameInZone gives a name of a record or proof, or why it can be none.
func (s State) nameInZone(text string) (string, error) {
	name, ok := canonicalName(text)
	if !ok {
		return "", problem.New(problem.Invalid, "%.80q is no name: labels are letters, digits, dashes and underscores, at most 63 each; a * may stand in front", text)
	}
	if name != string(s.Zone) && !strings.HasSuffix(name, "."+string(s.Zone)) {
		return "", problem.New(problem.Invalid, "%s is not in zone %s", name, s.Zone).WithHint("names are whole: www.%s", s.Zone)
	}
	if s.reserved(strings.TrimSuffix(name, string(s.Zone))) {
		return "", problem.New(problem.Conflict, "%s has the form of a name of the platform", name).WithHint("such names follow sites and services by themselves")
	}
	return name, nil
}

// reserved says whether a name is the platform's by its form: in the
// platform's zone <environment>-<site>, in the internal zone anything below a
// site's id. below is the name without the zone; it ends in a dot.
func (s State) reserved(below string) bool {
	labels := strings.Split(strings.TrimSuffix(below, "."), ".")
	last := labels[len(labels)-1]
	switch s.Role {
	case events.ZonePlatform:
		for i := range min(len(last), events.MaxEnvironmentNameBytes+1) {
			if last[i] != '-' || len(labels) > 1 {
				continue
			}
			_, errEnv := events.ParseEnvironmentName(last[:i])
			_, errSite := events.ParseSiteName(last[i+1:])
			if errEnv == nil && errSite == nil {
				return true
			}
		}
	case events.ZoneInternal:
		_, err := events.ParseSiteID(last)
		return err == nil
	case events.ZoneCustom:
	}
	return false
}

// canonical gives a record as the log holds it. Its TTL is left as it is.
func (s State) canonical(r events.ZoneRecord) (events.ZoneRecord, error) {
	name, err := s.nameInZone(r.Name)
	if err != nil {
		return r, err
	}
	rrtype := strings.ToUpper(r.Type)
	switch {
	case !slices.Contains(types[:], rrtype):
		return r, problem.New(problem.Invalid, "type %.20q is none of %s", r.Type, strings.Join(types[:], ", "))
	case r.TTL < 0 || r.TTL > MaxTTL:
		return r, problem.New(problem.Invalid, "a TTL of %d seconds is not between 1 and %d", r.TTL, MaxTTL)
	}
	if err := events.CheckText("its data", r.Data, MaxDataBytes); err != nil {
		return r, problem.Wrap(problem.Invalid, err, "%s %s", name, rrtype)
	}
	data, err := canonicalData(rrtype, s.wholeTarget(rrtype, r.Data))
	if err != nil {
		return r, problem.Wrap(problem.Invalid, err, "%s %s has the data %.80q", name, rrtype, r.Data)
	}
	return events.ZoneRecord{Name: name, Type: rrtype, TTL: r.TTL, Data: data}, nil
}

// targets say where in its data a type has the name that it leads to.
var targets = map[string]int{"AFSDB": 1, "CNAME": 0, "HTTPS": 1, "MX": 1, "NS": 0, "PTR": 0, "SRV": 3, "SVCB": 1}

// wholeTarget takes a target of one label for a name of the zone, and @ for the
// zone itself, as a zone file does: "10 mail" never means the top-level domain
// mail. One with dots is whole, with its last dot or without.
func (s State) wholeTarget(rrtype, data string) string {
	place, has := targets[rrtype]
	fields := strings.Fields(data)
	if !has || len(fields) <= place || strings.ContainsAny(fields[place], `.\"`) {
		return data
	}
	at := 0
	for i, field := range fields[:place+1] {
		at += strings.Index(data[at:], field)
		if i < place {
			at += len(field)
		}
	}
	target := string(s.Zone) + "."
	if fields[place] != "@" {
		target = fields[place] + "." + target
	}
	return data[:at] + target + data[at+len(fields[place]):]
}

// canonicalData gives rdata in the one form that equal data has.
func canonicalData(rrtype, data string) (string, error) {
	if rrtype == "TXT" && !strings.HasPrefix(strings.TrimSpace(data), `"`) {
		data = quoted(data)
	}
	if comment(data) {
		return "", problem.New(problem.Invalid, "a semicolon would begin a comment").WithHint("put the text in quotes")
	}
	rr, err := dns.NewRR(". 0 IN " + rrtype + " " + data)
	if err != nil {
		return "", problem.New(problem.Invalid, "it does not parse: %s", strings.TrimPrefix(err.Error(), "dns: "))
	}
	if rr == nil || dns.TypeToString[rr.Header().Rrtype] != rrtype || dns.Len(rr) > dns.MaxMsgSize/4 {
		return "", problem.New(problem.Invalid, "it is no data of one %s record", rrtype)
	}
	lowerNames(rr)
	// What is printed must be read again as the same.
	printed := strings.TrimPrefix(rr.String(), rr.Header().String())
	again, err := dns.NewRR(". 0 IN " + rrtype + " " + printed)
	if err != nil || again == nil || len(printed) > MaxDataBytes || again.String() != rr.String() {
		return "", problem.New(problem.Invalid, "it has no form that could be printed")
	}
	return printed, nil
}

// quoted makes character strings of a text, 255 bytes each at most.
func quoted(text string) string {
	var out strings.Builder
	for len(text) > 0 || out.Len() == 0 {
		n := min(len(text), 255)
		out.WriteString(` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text[:n]) + `"`)
		text = text[n:]
	}
	return out.String()[1:]
}

// comment says whether a semicolon stands outside quotes.
func comment(data string) bool {
	inQuotes := false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			inQuotes = !inQuotes
		case ';':
			if !inQuotes {
				return true
			}
		}
	}
	return false
}

// lowerNames writes the names in the data of the types that DNSSEC compares in
// lower case so (RFC 4034 §6.2, RFC 6840 §5.1).
func lowerNames(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.NS:
		rr.Ns = strings.ToLower(rr.Ns)
	case *dns.CNAME:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.PTR:
		rr.Ptr = strings.ToLower(rr.Ptr)
	case *dns.MX:
		rr.Mx = strings.ToLower(rr.Mx)
	case *dns.SRV:
		rr.Target = strings.ToLower(rr.Target)
	case *dns.AFSDB:
		rr.Hostname = strings.ToLower(rr.Hostname)
	case *dns.NAPTR:
		rr.Replacement = strings.ToLower(rr.Replacement)
	case *dns.RP:
		rr.Mbox, rr.Txt = strings.ToLower(rr.Mbox), strings.ToLower(rr.Txt)
	}
}
