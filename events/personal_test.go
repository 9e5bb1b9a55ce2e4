package events

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// clearTexts is every text of an event that is not sealed, and why. Together
// with personalTable it holds every field of type string that there is.
var clearTexts = map[string]string{
	"SiteCreated.name":                    siteNameIsPublic,
	"SiteDeleted.name":                    siteNameIsPublic,
	"EnvironmentCreated.site_name":        siteNameIsPublic,
	"DropAdmitted.spec.site_name":         siteNameIsPublic,
	"DropSpecChanged.spec.site_name":      siteNameIsPublic,
	"WorkflowStarted.create.name":         siteNameIsPublic,
	"WorkflowStarted.description":         "the platform's words, with the site's public name",
	"EnvironmentCreated.settings":         settingsAreOperational,
	"EnvironmentSettingsChanged.settings": settingsAreOperational,
	"DropAdmitted.spec.settings":          settingsAreOperational,
	"DropSpecChanged.spec.settings":       settingsAreOperational,
	"WorkflowStarted.create.settings":     settingsAreOperational,
	"BindingProvisioned.code":             settingsAreOperational,
	"CodeDeployed.commit":                 objectID,
	"DropAdmitted.spec.commit":            objectID,
	"DropSpecChanged.spec.commit":         objectID,
	"HostRegistered":                      "of a machine of the cell's operator",
	"HostLost.reason":                     platformWords,
	"DropDisplaced.reason":                platformWords,
	"DropMoveRequested.reason":            "the cell's operator says why a machine shall be free of it",
	"HostInvited.hash":                    "of 256 random bits: it gives nothing away, and joining looks it up",
	"DropDismissed.reason":                platformWords,
	"DropAwoke.trigger":                   platformWords,
	"DropSlept.trigger":                   platformWords,
	"TokenIssued.hash":                    "of 256 random bits: it gives nothing away, and login looks it up",
	"UpstreamAdded.name":                  "a public machine name",
	"NameClaimed.by":                      "the id of a stream",
	"NameReleased.by":                     "the id of a stream",
	"ZoneAdded":                           dnsIsPublic,
	"ZoneConfigured":                      dnsIsPublic,
	"RecordsAdded":                        dnsIsPublic,
	"RecordsRemoved":                      dnsIsPublic,
	"ChallengePresented":                  dnsIsPublic,
	"ChallengeCleared":                    dnsIsPublic,
	"ZoneKeyIntroduced":                   dnsIsPublic,
	"SecondaryAdded":                      "a name server of the cell's operator, and the name of a key",
	"SecondaryRemoved":                    "a name server of the cell's operator",
	"HostAddressesChanged":                "of a machine of the cell's operator",
	"HostEndpointChanged":                 "of a machine of the cell's operator",
	"HostSoftwareChanged":                 "of a machine of the cell's operator",
}

const (
	siteNameIsPublic       = "public: a part of the site's host names, and the id of the stream that keeps it unique"
	settingsAreOperational = "paths and versions that hosts act on; asked for in a file of the code"
	objectID               = "a git object id: the hash of a tree that is gone with the site"
	platformWords          = "the platform's own words"
	dnsIsPublic            = "what the cell's operator publishes in the DNS"
)

func clearReason(field string) string {
	for field != "" {
		if reason := clearTexts[field]; reason != "" {
			return reason
		}
		field = field[:max(0, strings.LastIndexByte(field, '.'))]
	}
	return ""
}

// textFields lists the fields of type string, by their names on the wire.
// Named string types are identifiers and closed sets.
func textFields(typ reflect.Type, path string) []string {
	switch typ.Kind() {
	case reflect.String:
		if typ == reflect.TypeFor[string]() {
			return []string{path}
		}
	case reflect.Pointer, reflect.Slice:
		return textFields(typ.Elem(), path)
	case reflect.Struct:
		var all []string
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				all = append(all, textFields(f.Type, path+"."+name)...)
			}
		}
		return all
	}
	return nil
}

// Every text of every event is sealed, or stands in clear for a reason.
func TestEveryTextIsSealedOrHasAReason(t *testing.T) {
	used := map[string]bool{}
	for _, r := range table {
		var sealed []string
		if row := personalByName[r.name]; row != nil {
			sealed = row.fields
		}
		for _, field := range textFields(r.typ, r.name) {
			used[field] = true
			listed := slices.Contains(sealed, strings.TrimPrefix(field, r.name+"."))
			if reason := clearReason(field); listed == (reason != "") {
				t.Errorf("%s: sealed %t, in clear because %q; it must be one of both: personalTable or clearTexts", field, listed, reason)
			}
		}
		for _, field := range sealed {
			if !used[r.name+"."+field] {
				t.Errorf("personalTable lists %s.%s, which is no text", r.name, field)
			}
		}
	}
	for field := range clearTexts {
		if !slices.ContainsFunc(keys(used), func(text string) bool { return text == field || strings.HasPrefix(text, field+".") }) {
			t.Errorf("clearTexts lists %s, which is no text", field)
		}
	}
}

func keys(m map[string]bool) []string {
	all := make([]string, 0, len(m))
	for key := range m {
		all = append(all, key)
	}
	return all
}

// What MapPersonal replaces is what the table lists, and the event it was
// given, with all it refers to, stays as it was.
func TestMapPersonalReplacesWhatIsListed(t *testing.T) {
	site := SiteID(sampleIDs[KindSite])
	for _, r := range table {
		event := sampleOf(r.typ).Interface().(Event)
		var seen []string
		mapped := MapPersonal(event, Owner{Site: site}, func(_ Owner, text string) string {
			seen = append(seen, text)
			return "SEALED"
		})
		row := personalByName[r.name]
		if row == nil {
			if len(seen) > 0 || !reflect.DeepEqual(mapped, event) {
				t.Errorf("%s is not in the table and was changed", r.name)
			}
			continue
		}
		if len(seen) != len(row.fields) || reflect.TypeOf(mapped) != r.typ {
			t.Errorf("%s: %d texts were visited, %v are listed", r.name, len(seen), row.fields)
		}
		for _, field := range row.fields {
			if got := fieldOf(reflect.ValueOf(mapped), field); got != "SEALED" {
				t.Errorf("%s.%s is %q", r.name, field, got)
			}
		}
		if !reflect.DeepEqual(sampleOf(r.typ).Interface(), event) {
			t.Errorf("%s was changed in place: %#v", r.name, event)
		}
		if HasPersonal(event) != (row != nil) {
			t.Errorf("HasPersonal(%s) is wrong", r.name)
		}
	}
}

func fieldOf(v reflect.Value, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		for i := range v.NumField() {
			if wire, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); wire == name {
				v = v.Field(i)
				break
			}
		}
	}
	return v.String()
}

func TestSealedText(t *testing.T) {
	site, account := SiteID(sampleIDs[KindSite]), AccountID(sampleIDs[KindAccount])
	for _, owner := range []Owner{{Site: site}, {Account: account}, {site, account}} {
		text := FormatSealed(owner, []byte("box"))
		if got, box, ok := ParseSealed(text); !ok || got != owner || string(box) != "box" || !IsSealed(text) {
			t.Errorf("%v: %s gives %v %q %t", owner, text, got, box, ok)
		}
	}
	for _, owner := range []Owner{{}, {Site: "no uuid"}, {site, "no uuid"}} {
		if text := FormatSealed(owner, []byte("box")); text != "" {
			t.Errorf("%v gives %s", owner, text)
		}
	}
	whole := FormatSealed(Owner{Site: site}, []byte("box"))
	for _, text := range []string{"", "hello", "sealed:1:", "sealed:1:AA", "sealed:1:!", "sealed:2:" + whole[9:], whole + ".", whole[:20]} {
		if IsSealed(text) {
			t.Errorf("%q is taken for a sealed text", text)
		}
	}
}

func TestReplaceSealed(t *testing.T) {
	one := FormatSealed(Owner{Site: SiteID(sampleIDs[KindSite])}, []byte("box"))
	for text, want := range map[string]string{
		"nothing":                       "nothing",
		one:                             "<" + one + ">",
		"a " + one + " b\"" + one + `"`: "a <" + one + "> b\"<" + one + `>"`,
		"sealed:1:AA " + one:            "sealed:1:AA <" + one + ">", // the first is no sealed text
	} {
		// What open gives holds a sealed text: it is not opened again.
		if got := ReplaceSealed(text, func(s string) string { return "<" + s + ">" }); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

// A text belongs to what its event is about.
func TestOwnersOfTexts(t *testing.T) {
	site, account := SiteID(sampleIDs[KindSite]), AccountID(sampleIDs[KindAccount])
	source := CodeSource{Location: "text"}
	stream := Owner{Site: "stream's"}
	for _, row := range []struct {
		event Event
		want  Owner
	}{
		{SiteCreated{Site: site, Label: "text"}, Owner{Site: site}},
		{SiteDeletionRequested{Site: site, Reason: "text"}, Owner{Site: site}},
		{CodeDeployed{Environment: EnvironmentOf(site, "dev"), Message: "text"}, Owner{Site: site}},
		{DropCrashed{Reason: "text"}, stream},
		{BindingFailed{Reason: "text"}, stream},
		{WorkflowFailed{Reason: "text"}, stream},
		{BindingAdmitted{Spec: BindingSpec{Site: site, Source: source}}, Owner{Site: site}},
		{WorkflowStarted{Site: site, Create: &CreateSite{Source: source}}, Owner{Site: site}},
		{AccountRegistered{Account: account, Name: "text"}, Owner{Account: account}},
		{UpstreamAdded{Account: account, Source: source}, Owner{Account: account}},
	} {
		visited := false
		MapPersonal(row.event, stream, func(owner Owner, text string) string {
			if visited = true; owner != row.want || text != "text" {
				t.Errorf("%T: %q belongs to %v, want %v", row.event, text, owner, row.want)
			}
			return text
		})
		if !visited {
			t.Errorf("%T: its text was not visited", row.event)
		}
	}
}

func TestOwnerOf(t *testing.T) {
	site := SiteID(sampleIDs[KindSite])
	env := EnvironmentOf(site, "dev")
	for _, row := range []struct {
		stream StreamID
		first  Event
		want   Owner
	}{
		{site.Stream(), nil, Owner{Site: site}},
		{env.Stream(), nil, Owner{Site: site}},
		{AccountID(sampleIDs[KindAccount]).Stream(), nil, Owner{Account: AccountID(sampleIDs[KindAccount])}},
		{DropID(sampleIDs[KindDrop]).Stream(), DropRequested{Environment: env}, Owner{Site: site}},
		{DropID(sampleIDs[KindDrop]).Stream(), nil, Owner{}},
		{BindingID(sampleIDs[KindBinding]).Stream(), BindingRequested{Spec: BindingSpec{Site: site}}, Owner{Site: site}},
		{WorkflowID(sampleIDs[KindWorkflow]).Stream(), WorkflowStarted{Site: site}, Owner{Site: site}},
		{HostID(sampleIDs[KindHost]).Stream(), HostRegistered{}, Owner{}},
	} {
		if got := OwnerOf(row.stream, row.first); got != row.want {
			t.Errorf("OwnerOf(%s, %T) = %v, want %v", row.stream, row.first, got, row.want)
		}
	}
}

func FuzzSealed(f *testing.F) {
	f.Add("sealed:1:AQ")
	f.Add(FormatSealed(Owner{Site: SiteID(sampleIDs[KindSite])}, []byte("box")))
	f.Fuzz(func(t *testing.T, text string) {
		owner, box, ok := ParseSealed(text)
		if ok && FormatSealed(owner, box) != text {
			t.Fatalf("%q is read as %v %q and written as %q", text, owner, box, FormatSealed(owner, box))
		}
		if got := ReplaceSealed(text, func(s string) string { return s }); got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
