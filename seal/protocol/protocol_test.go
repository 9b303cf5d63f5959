package protocol

import (
	"crypto/ed25519"
	"errors"
	"net/http"
	"testing"
	"time"

	"tidemark/seal"
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	body = []byte("batches")
)

const path = "/v1/lanes/messages/batches"

func enrolled(ids ...*seal.Identity) func(seal.DeviceID) ed25519.PublicKey {
	return func(d seal.DeviceID) ed25519.PublicKey {
		for _, id := range ids {
			if id.ID() == d {
				return id.Public()
			}
		}
		return nil
	}
}

// A token is good for one device, archive, method, path and body, for minutes; a time
// that is off is told apart from everything else that can be wrong.
func TestToken(t *testing.T) {
	id, stranger := seal.NewIdentity(), seal.NewIdentity()
	token, err := Token(id, "archive.test/x", http.MethodPost, path, body, noon)
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		token, archive, method, path string
		body                         []byte
		now                          time.Time
		key                          func(seal.DeviceID) ed25519.PublicKey
	}
	good := request{token, "archive.test/x", http.MethodPost, path, body, noon, enrolled(id)}
	check := func(r request) (seal.DeviceID, error) {
		return VerifyToken(r.token, r.archive, r.method, r.path, r.body, r.now, r.key)
	}
	if d, err := check(good); err != nil || d != id.ID() {
		t.Fatalf("%s, %v", d, err)
	}
	for name, c := range map[string]struct {
		change func(*request)
		want   error
	}{
		"another archive":   {func(r *request) { r.archive = "archive.test/y" }, seal.ErrForged},
		"another method":    {func(r *request) { r.method = http.MethodGet }, seal.ErrForged},
		"another path":      {func(r *request) { r.path = "/v1/lanes/media/batches" }, seal.ErrForged},
		"another body":      {func(r *request) { r.body = []byte("Batches") }, seal.ErrForged},
		"a stranger":        {func(r *request) { r.key = enrolled(stranger) }, seal.ErrForged},
		"another's key":     {func(r *request) { r.key = func(seal.DeviceID) ed25519.PublicKey { return stranger.Public() } }, seal.ErrForged},
		"no signature":      {func(r *request) { r.token = r.token[:len(r.token)-86] }, seal.ErrForged},
		"too late":          {func(r *request) { r.now = noon.Add(TokenTTL + time.Second) }, ErrClock},
		"from the future":   {func(r *request) { r.now = noon.Add(-TokenTTL - time.Second) }, ErrClock},
		"just in time":      {func(r *request) { r.now = noon.Add(TokenTTL - time.Second) }, nil},
		"a little early":    {func(r *request) { r.now = noon.Add(-TokenTTL + time.Second) }, nil},
		"wrong in all, too": {func(r *request) { r.now, r.body = noon.Add(time.Hour), nil }, seal.ErrForged},
	} {
		r := good
		c.change(&r)
		if _, err := check(r); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An enrolment proves that the device holds the key, to this archive only.
func TestEnrollment(t *testing.T) {
	id, pin, other := seal.NewIdentity(), seal.ArchiveKey{1}, seal.ArchiveKey{2}
	var e Enrollment
	SignEnrollment(&e, id, pin)
	if d, err := VerifyEnrollment(&e, pin); err != nil || d != id.ID() {
		t.Fatalf("%s, %v", d, err)
	}
	if _, err := VerifyEnrollment(&e, other); !errors.Is(err, seal.ErrForged) {
		t.Errorf("for another archive: %v", err)
	}
	stolen := e
	stolen.PublicKey = seal.NewIdentity().Public()
	if _, err := VerifyEnrollment(&stolen, pin); !errors.Is(err, seal.ErrForged) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := VerifyEnrollment(&Enrollment{}, pin); !errors.Is(err, seal.ErrForged) {
		t.Errorf("empty: %v", err)
	}
}

// No bytes pass for a token that was not made with the device's key.
func FuzzVerifyToken(f *testing.F) {
	id := seal.NewIdentity()
	token, err := Token(id, "archive.test/x", http.MethodPost, path, body, noon)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := VerifyToken(s, "archive.test/x", http.MethodPost, path, body, noon, enrolled(id)); err == nil && s != token {
			t.Fatalf("another token passes: %q", s)
		}
	})
}
