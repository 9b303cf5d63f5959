// Package protocol is what agent and archive say to each other over HTTP: paths,
// bodies, the request token and the problems. docs/protocol.md describes it for
// those who write another archive.
//
// Nothing here rests on TLS client certificates, so a proxy that inspects TLS
// neither breaks a delivery nor sees content, and nothing rests on the device's
// clock being right: an archive refuses a token for its time with
// [ProblemClock], and the device corrects itself by the answer's Date.
package protocol

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidemark/seal"
)

// Paths. A lane's paths have its name in place of {lane}.
const (
	PathArchive    = "/v1/archive"              // GET: the archive key document, exact bytes, no token
	PathSuccession = "/v1/archive/succession"   // GET: Succession, no token
	PathEnroll     = "/v1/enroll"               // POST: Enrollment -> Enrolled, bearer enrolment token
	PathHead       = "/v1/lanes/{lane}/head"    // GET: Head
	PathBatches    = "/v1/lanes/{lane}/batches" // POST: batches, one after the other -> Receipts
)

// Media types.
const (
	TypeBatches = "application/vnd.tidemark.batches"
	TypeJSON    = "application/json"
	TypeProblem = "application/problem+json"
)

// HeaderOnBehalf names, in a request to PathBatches, the device that made the batches,
// when that is another than the one that made the token: a device whose identity was
// lost delivers what it had sealed under its next. The batches' own signatures prove
// whose they are.
const HeaderOnBehalf = "Tidemark-On-Behalf-Of"

// MaxRequest is the largest body of PathBatches that an archive must accept.
const MaxRequest = 32 << 20

// Succession is every key document that the archive has had, oldest first; the last is
// the one that PathArchive gives.
type Succession struct {
	Succession []seal.Link `json:"succession"`
}

// Enrollment is what a device says of itself when it enrols. Proof shows that it
// holds the key: an Ed25519 signature over "tidemark enrol v1\n", the archive's
// key string, a newline and the public key.
type Enrollment struct {
	PublicKey []byte `json:"public_key"`
	Proof     []byte `json:"proof"`
	Hostname  string `json:"hostname"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Version   string `json:"version"`
}

// SignEnrollment fills in key and proof.
func SignEnrollment(e *Enrollment, id *seal.Identity, archive seal.ArchiveKey) {
	e.PublicKey = id.Public()
	e.Proof = ed25519.Sign(id.Private(), enrolProof(archive, e.PublicKey))
}

// VerifyEnrollment checks the proof and returns the device's id.
func VerifyEnrollment(e *Enrollment, archive seal.ArchiveKey) (seal.DeviceID, error) {
	if len(e.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(e.PublicKey, enrolProof(archive, e.PublicKey), e.Proof) {
		return seal.DeviceID{}, fmt.Errorf("enrolment proof: %w", seal.ErrForged)
	}
	return seal.DeviceIDOf(e.PublicKey), nil
}

func enrolProof(archive seal.ArchiveKey, public []byte) []byte {
	return append([]byte("tidemark enrol v1\n"+archive.String()+"\n"), public...)
}

// Enrolled answers an enrolment.
type Enrolled struct {
	Device string `json:"device"`
}

// Head is the last batch of a lane that the archive keeps; Seq 0 and no hash when
// there is none.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash,omitempty"`
}

// Receipts answers an append: a receipt for each batch of the request that the
// archive keeps now, in the order of the request. There may be fewer than batches
// when a later one could not be taken; send those again.
type Receipts struct {
	Receipts []string `json:"receipts"` // signed notes
}

// The types of problems (RFC 9457), and what a device does about each.
const (
	ProblemToken    = "urn:tidemark:problem:token"     // 401: not enrolled, revoked, or the token does not verify
	ProblemClock    = "urn:tidemark:problem:clock"     // 401: the token's time is off; correct by Date and ask again
	ProblemEnrol    = "urn:tidemark:problem:enrol"     // 403: the enrolment token is unknown, used up or expired
	ProblemHead     = "urn:tidemark:problem:head"      // 409: the batch does not follow the head; Head is in the problem
	ProblemBatch    = "urn:tidemark:problem:batch"     // 422: the batch itself is refused for good
	ProblemTooLarge = "urn:tidemark:problem:too-large" // 413: send fewer batches at once
	ProblemRequest  = "urn:tidemark:problem:request"   // 400, 404, 405, 415: not of this protocol
	ProblemBusy     = "urn:tidemark:problem:busy"      // 429, 503: later, see Retry-After
	ProblemFailed   = "urn:tidemark:problem:failed"    // 500, 507: the archive could not keep it
)

// Problem is the body of every answer that is not a success.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Head   *Head  `json:"head,omitempty"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%d)", p.Title, p.Status)
	}
	return fmt.Sprintf("%s (%d): %s", p.Title, p.Status, p.Detail)
}

// TokenTTL is how long a request token is good for, either side of the archive's
// clock.
const TokenTTL = 5 * time.Minute

// ErrClock reports a token whose time is off and that is otherwise good.
var ErrClock = errors.New("token is out of time")

type claims struct {
	jwt.RegisteredClaims
	Body    string `json:"bh"` // SHA-256 of the request body, base64url without padding
	Request string `json:"rq"` // method, a space, and the path
}

// Token makes the bearer token of one request: an EdDSA JWT (RFC 7519, 8037)
// bound to the archive's name, the method, the path and the body.
func Token(id *seal.Identity, archive, method, path string, body []byte, now time.Time) (string, error) {
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: id.ID().String(), Audience: jwt.ClaimStrings{archive},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(TokenTTL)),
		},
		Body: bodyHash(body), Request: method + " " + path,
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(id.Private())
	if err != nil {
		return "", fmt.Errorf("sign request token: %w", err)
	}
	return s, nil
}

func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// VerifyToken checks a request's token and returns the device that made it. Key
// gives a device's public key, or nil when it is not enrolled or revoked. The
// error wraps ErrClock when nothing but the time is wrong.
func VerifyToken(token, archive, method, path string, body []byte, now time.Time, key func(seal.DeviceID) ed25519.PublicKey) (seal.DeviceID, error) {
	device, hash, err := VerifyTokenHead(token, archive, method, path, now, key)
	if (err == nil || errors.Is(err, ErrClock)) && hash != bodyHash(body) {
		return device, fmt.Errorf("request token is for another request: %w", seal.ErrForged)
	}
	return device, err
}

// VerifyTokenHead is VerifyToken before the body is there: it also returns the hash that
// the body must have, in the token's spelling.
func VerifyTokenHead(token, archive, method, path string, now time.Time, key func(seal.DeviceID) ed25519.PublicKey) (device seal.DeviceID, body string, err error) {
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	_, err = parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) {
		d, err := seal.ParseDeviceID(c.Issuer)
		if err != nil {
			return nil, err
		}
		public := key(d)
		if public == nil {
			return nil, fmt.Errorf("device %s is not enrolled", d)
		}
		device = d
		return public, nil
	})
	switch {
	case err != nil:
		err = fmt.Errorf("request token: %w: %w", seal.ErrForged, err)
	case len(c.Audience) != 1 || c.Audience[0] != archive:
		err = fmt.Errorf("request token is for another archive: %w", seal.ErrForged)
	case c.Request != method+" "+path:
		err = fmt.Errorf("request token is for another request: %w", seal.ErrForged)
	case c.IssuedAt == nil || c.ExpiresAt == nil || c.ExpiresAt.Sub(c.IssuedAt.Time) > TokenTTL:
		err = fmt.Errorf("request token has no proper times: %w", seal.ErrForged)
	case c.IssuedAt.After(now.Add(TokenTTL)) || c.ExpiresAt.Before(now):
		err = fmt.Errorf("request token: %w", ErrClock)
	}
	return device, c.Body, err
}

// BodyFits says whether the body is the one that a token's hash names.
func BodyFits(hash string, body []byte) bool { return hash == bodyHash(body) }
