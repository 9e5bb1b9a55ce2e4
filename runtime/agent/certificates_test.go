package agent

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

// signer is a CA that can be out of reach.
type signer struct {
	authority *identity.Authority
	away      bool
	signed    int
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	authority, err := identity.CreateAuthority(t.TempDir(), identity.NewCellID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &signer{authority: authority}
}

func (s *signer) SignBinding(_ context.Context, csr []byte, drop events.DropID, environment events.EnvironmentID) ([]byte, []byte, error) {
	if s.away {
		return nil, nil, problem.New(problem.Unavailable, "cannot ask a control machine")
	}
	s.signed++
	certificate, err := s.authority.SignBinding(csr, drop, environment, time.Now())
	return certificate, s.authority.Certificate(), err
}

// TestCertificatesAreRenewedInTime: at half of their life, and after a time
// without anybody to sign them.
func TestCertificatesAreRenewedInTime(t *testing.T) {
	a, ca := testAgent(t, t.TempDir(), newFakeStream(), newReported().report), newSigner(t)
	a.options.Certifier = ca
	spec := sleepingSpec(7)
	spec.UID = uint32(os.Getuid())
	a.apply(events.DropAdmitted{Host: testHost, Drop: "00000000000000000000000000000007", Spec: spec})
	e := a.entry("00000000000000000000000000000007")
	certs := filepath.Join(a.folder(e.id), "certs")
	pem := filepath.Join(certs, "binding.pem")

	certify := func(age time.Duration, want int) {
		t.Helper()
		if age > 0 {
			then := time.Now().Add(-age)
			if err := os.Chtimes(pem, then, then); err != nil {
				t.Fatal(err)
			}
		}
		e.certifyAt.Store(0) // as after a restart
		if err := a.certify(t.Context(), e); err != nil || ca.signed != want {
			t.Fatalf("at the age of %s: %d signatures, want %d; %v", age, ca.signed, want, err)
		}
	}
	if err := a.certify(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(certs); err == nil {
		t.Error("a DROP that is not prepared has a folder for its certificate")
	}
	if err := os.MkdirAll(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	certify(0, 1)
	certify(0, 1)
	certify(identity.BindingLifetime/2-time.Hour, 1)
	certify(identity.BindingLifetime/2+time.Hour, 2)

	first, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}
	ca.away = true
	then := time.Now().Add(-identity.BindingLifetime)
	if err := os.Chtimes(pem, then, then); err != nil {
		t.Fatal(err)
	}
	e.certifyAt.Store(0)
	if err := a.certify(t.Context(), e); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("nobody signs, and it says: %v", err)
	}
	if now, err := os.ReadFile(pem); err != nil || string(now) != string(first) {
		t.Errorf("the old certificate is gone while nobody signs: %v", err)
	}
	ca.away = false
	certify(0, 3)
	for _, name := range []string{"binding.pem", "binding.crt", "binding.key", "ca.pem"} {
		info, err := os.Stat(filepath.Join(certs, name))
		if err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}
