package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

// Every claim that docs/protocol.md lists must be there and right: altered, taken out or
// of another type it is refused, even under the device's own signature; and no character
// of a token can be changed.
func TestForgedToken(t *testing.T) {
	id, other := seal.NewIdentity(), seal.NewIdentity()
	const archive = "archive.test/x"
	token, err := Token(id, archive, http.MethodPost, path, body, noon)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(token string) error {
		_, err := VerifyToken(token, archive, http.MethodPost, path, body, noon, enrolled(id, other))
		return err
	}
	if err := verify(token); err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, c := range "Aw_.=" {
			altered := token[:i] + string(c) + token[i+1:]
			if altered != token && !errors.Is(verify(altered), seal.ErrForged) {
				t.Fatalf("character %d may be %c: %v", i, c, verify(altered))
			}
		}
	}

	claims := func() jwt.MapClaims {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		out := jwt.MapClaims{}
		if err := json.Unmarshal(payload, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	sign := func(c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(id.Private())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := verify(sign(claims())); err != nil {
		t.Fatal(err)
	}
	altered := map[string][]any{
		"`iss`": {other.ID().String(), strings.ToUpper(id.ID().String()), ""},
		"`aud`": {"archive.test/y", []string{archive, "archive.test/y"}, []string{}},
		"`iat`": {noon.Add(2 * TokenTTL).Unix(), "now"},
		"`exp`": {noon.Add(-1).Unix(), noon.Add(2 * TokenTTL).Unix()},
		"`rq`":  {"GET " + path, "POST /v1/lanes/media/batches", ""},
		"`bh`":  {bodyHash([]byte("other")), bodyHash(body) + "=", ""},
	}
	for _, row := range sealtest.Rows(t, "protocol.md", "## Request tokens", "claim", 0) {
		for name := range strings.SplitSeq(row[0], ", ") {
			values := altered[name]
			if values == nil {
				t.Errorf("%s is not altered by this test", name)
			}
			claim := strings.Trim(name, "`")
			if _, ok := claims()[claim]; !ok {
				t.Errorf("the token has no claim %s", claim)
			}
			for _, v := range append(values, nil, 7) {
				c := claims()
				if c[claim] = v; v == nil {
					delete(c, claim)
				}
				if err := verify(sign(c)); !errors.Is(err, seal.ErrForged) && !errors.Is(err, ErrClock) {
					t.Errorf("%s may be %v: %v", claim, v, err)
				}
			}
			delete(altered, name)
		}
	}
	for name := range altered {
		t.Errorf("docs/protocol.md does not list %s", name)
	}
}
