package events

import (
	"strings"
	"testing"
)

func TestParseStreamID(t *testing.T) {
	for kind, id := range sampleIDs {
		stream := StreamID{kind, id}
		got, err := ParseStreamID(stream.String())
		if err != nil || got != stream {
			t.Errorf("%s: %v, %v", stream, got, err)
		}
	}
	if len(sampleIDs) != len(Kinds) {
		t.Errorf("%d sample ids for %d kinds", len(sampleIDs), len(Kinds))
	}
	for _, bad := range []string{
		"", "/", "site", "site/", "site/x", "Site/3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f",
		"site/3B5A1A52-0B3E-4B8A-8D7E-5A5C1F1F1F1F", "site/3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f\n",
		"drop/0123", "drop/0123456789abcdef0123456789abcdef.*", "host/>", "environment/dev",
		"environment/dev.x.3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f", "name/site:", "name/:x", "name/site:A",
		"name/host:*.example.org", "name/host:a b", "name/host:a..b", "name/host:.a", "name/host:a.", "name/site:" + strings.Repeat("a", MaxIDBytes),
	} {
		if got, err := ParseStreamID(bad); err == nil {
			t.Errorf("%q was taken as %v", bad, got)
		}
	}
}

func TestParseNames(t *testing.T) {
	for _, good := range []string{"a", "0", "hello", "a-b", strings.Repeat("a", MaxNameBytes)} {
		if _, err := ParseSiteName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "a.b", "a_b", "ä", strings.Repeat("a", MaxNameBytes+1)} {
		if _, err := ParseSiteName(bad); err == nil {
			t.Errorf("site name %q was taken", bad)
		}
	}
	for _, good := range []string{"dev", "test", "live", "pr-12", "abcdefghijk"} {
		if _, err := ParseEnvironmentName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "abcdefghijkl", "-x", "x-", "a.b", "A"} {
		if _, err := ParseEnvironmentName(bad); err == nil {
			t.Errorf("environment name %q was taken", bad)
		}
	}
}

func TestEnvironmentID(t *testing.T) {
	site := SiteID(sampleIDs[KindSite])
	id := EnvironmentOf(site, "dev")
	if id.Site() != site || id.Name() != "dev" || id.Stream().Kind != KindEnvironment {
		t.Fatalf("%s has site %s and name %s", id, id.Site(), id.Name())
	}
	if got, err := ParseEnvironmentID(string(id)); err != nil || got != id {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "dev", "dev.", ".x", "dev." + string(site) + ".x", string(site)} {
		if _, err := ParseEnvironmentID(bad); err == nil {
			t.Errorf("environment id %q was taken", bad)
		}
	}
}

func TestUniqueName(t *testing.T) {
	id := UniqueName(SpaceHost, "www.example.org")
	if id.Space() != SpaceHost || id.Name() != "www.example.org" || id.Stream() != (StreamID{KindName, "host:www.example.org"}) {
		t.Fatalf("%s: %s, %s", id, id.Space(), id.Name())
	}
}

func TestZoneName(t *testing.T) {
	for _, good := range []string{"example.org", "org", "_tcp.example.org", "2.0.192.in-addr.arpa", strings.Repeat("a", 63) + ".org"} {
		if name, err := ParseZoneName(good); err != nil || name.Stream() != (StreamID{KindZone, good}) {
			t.Errorf("zone %q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "example.org.", ".org", "a..b", "Example.org", "a b", "*.org", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 127) + "b"} {
		if _, err := ParseZoneName(bad); err == nil {
			t.Errorf("zone %q was taken", bad)
		}
	}
	if _, err := ParseZoneKeyID(sampleIDs[KindDrop]); err != nil {
		t.Error(err)
	}
}

// The longest identifiers that other bounds allow fit into a stream's name.
func TestBoundsFitTogether(t *testing.T) {
	if MaxEnvironmentNameBytes+1+MaxNameBytes != 63 {
		t.Error("<environment>-<site name> is no DNS label")
	}
	if n := len(SpaceHost) + 1 + 253; n > MaxIDBytes {
		t.Errorf("a claimed host name of %d bytes does not fit", n)
	}
}

func TestParseHexIDs(t *testing.T) {
	if _, err := ParseDropID(sampleIDs[KindDrop]); err != nil {
		t.Error(err)
	}
	if _, err := ParseHostID(sampleIDs[KindHost]); err != nil {
		t.Error(err)
	}
	if _, err := ParseSiteID(sampleIDs[KindDrop]); err == nil {
		t.Error("a DROP's id was taken for a site's")
	}
	for _, bad := range []string{"", "0123", strings.ToUpper(sampleIDs[KindDrop]), sampleIDs[KindDrop] + "0"} {
		if _, err := ParseDropID(bad); err == nil {
			t.Errorf("DROP id %q was taken", bad)
		}
	}
}
