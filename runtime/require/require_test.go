package require

import "testing"

func TestProgram(t *testing.T) {
	present := Program("sh", "dash", "it runs scripts")
	if present.Missing() || present.Found[0] != '/' {
		t.Errorf("sh: %+v, want an absolute path", present)
	}
	absent := Program("no-such-program-anywhere", "nothing", "nothing needs it")
	if !absent.Missing() || absent.Install != "apt-get install -y nothing" {
		t.Errorf("absent program: %+v", absent)
	}
}
