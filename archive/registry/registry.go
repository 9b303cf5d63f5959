// Package registry knows who may deliver: enrolled devices with their public
// keys, and enrolment tokens.
//
// It is one small SQLite file that several processes may use at once: a server
// reads it at every request, so that a token made or a device revoked by a
// command counts from the next request on. What a method changes is on the disk
// when it returns nil.
//
// A token is 160 random bits and is kept only as its SHA-256, so that whoever
// reads the file can enrol nothing.
package registry

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// The errors of enrolment.
var (
	ErrToken   = errors.New("enrolment token is unknown, used up or expired")
	ErrRevoked = errors.New("device is revoked")
	ErrUnknown = errors.New("device is not enrolled")
	ErrMissing = errors.New("registry of devices is missing")
)

// seenEvery is how exactly the time of a device's last request is kept.
const seenEvery = time.Minute

const schema = `
CREATE TABLE IF NOT EXISTS devices (
	id         TEXT PRIMARY KEY,
	public_key BLOB NOT NULL,
	hostname   TEXT NOT NULL,
	os         TEXT NOT NULL,
	arch       TEXT NOT NULL,
	version    TEXT NOT NULL,
	token      BLOB NOT NULL,     -- SHA-256 of the token it enrolled with
	enrolled   INTEGER NOT NULL,  -- times are Unix milliseconds of the archive's clock
	seen       INTEGER NOT NULL,
	revoked    INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
	hash    BLOB PRIMARY KEY,
	uses    INTEGER NOT NULL,     -- how many devices may still enrol with it
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS device_keys (
	device    TEXT PRIMARY KEY,
	recipient BLOB NOT NULL,      -- what its keys are sealed to
	asked     INTEGER NOT NULL,
	sealed    BLOB,               -- keys that wait for it; NULL for none
	given     INTEGER
) STRICT, WITHOUT ROWID;`

// Device is an enrolled device.
type Device struct {
	ID       seal.DeviceID
	Public   ed25519.PublicKey
	Hostname string
	OS       string
	Arch     string
	Version  string
	Enrolled time.Time
	Seen     time.Time // last request, to the minute
	Revoked  time.Time // zero when it is not
}

// Registry is open on a file. Its methods may be called concurrently.
type Registry struct {
	mu   sync.Mutex // holds the one connection
	conn *sqlite3.Conn
	key  *sqlite3.Stmt
}

// Open opens the registry, and makes it when it is not there.
func Open(name string) (*Registry, error) {
	conn, err := sqlite.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r := &Registry{conn: conn}
	conn.BusyTimeout(10 * time.Second)
	err = conn.Exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;` + schema)
	if err == nil {
		r.key, _, err = conn.Prepare(`SELECT public_key FROM devices WHERE id = ? AND revoked IS NULL`)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return r, nil
}

// Close closes the file.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key.Close()
	return r.conn.Close()
}

const tokenPrefix = "tmt1"

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewToken makes an enrolment token for that many devices, good until expires.
func (r *Registry) NewToken(uses int, now, expires time.Time) (string, error) {
	var secret [20]byte
	rand.Read(secret[:])
	token := tokenPrefix + base32Lower.EncodeToString(secret[:])
	return token, r.AddToken(token, uses, now, expires)
}

// AddToken adds a token that was made elsewhere; it must be as hard to guess.
func (r *Registry) AddToken(token string, uses int, now, expires time.Time) error {
	if uses < 1 || !expires.After(now) {
		return errors.New("add enrolment token: it could never be used")
	}
	hash := sha256.Sum256([]byte(token))
	r.mu.Lock()
	defer r.mu.Unlock()
	err := sqlite.Exec(r.conn, `INSERT INTO tokens (hash, uses, created, expires) VALUES (?, ?, ?, ?)`,
		hash[:], int64(uses), now.UnixMilli(), expires.UnixMilli())
	if err != nil {
		return fmt.Errorf("add enrolment token: %w", err)
	}
	return nil
}

// Enroll enrols a device whose proof the caller has verified. A device that has
// enrolled before uses nothing up: with its old token, even one that is used up
// or expired, because the first answer may have been lost; or with any good one.
func (r *Registry) Enroll(token string, id seal.DeviceID, e *protocol.Enrollment, now time.Time) (err error) {
	hash := sha256.Sum256([]byte(token))
	r.mu.Lock()
	defer r.mu.Unlock()
	tx, err := r.conn.BeginImmediate()
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	defer tx.End(&err)

	known, sameToken := false, false
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		if s.ColumnType(1) != sqlite3.NULL {
			return ErrRevoked
		}
		known, sameToken = true, string(s.ColumnRawBlob(0)) == string(hash[:])
		return nil
	}, `SELECT token, revoked FROM devices WHERE id = ?`, id.String())
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if !sameToken {
		good := false
		err = sqlite.Query(r.conn, func(*sqlite3.Stmt) error { good = true; return nil },
			`SELECT 1 FROM tokens WHERE hash = ? AND uses > 0 AND expires > ?`, hash[:], now.UnixMilli())
		if err != nil {
			return fmt.Errorf("enrol: %w", err)
		}
		if !good {
			return ErrToken
		}
	}
	if known {
		err = sqlite.Exec(r.conn, `UPDATE devices SET hostname = ?, os = ?, arch = ?, version = ?, seen = ? WHERE id = ?`,
			e.Hostname, e.OS, e.Arch, e.Version, now.UnixMilli(), id.String())
	} else {
		err = sqlite.Exec(r.conn, `UPDATE tokens SET uses = uses - 1 WHERE hash = ?`, hash[:])
		if err == nil {
			err = sqlite.Exec(r.conn, `INSERT INTO devices (id, public_key, hostname, os, arch, version, token, enrolled, seen)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, id.String(), e.PublicKey, e.Hostname, e.OS, e.Arch, e.Version,
				hash[:], now.UnixMilli(), now.UnixMilli())
		}
	}
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	return nil
}

// Key returns the device's public key, or nil when it is not enrolled or revoked.
func (r *Registry) Key(id seal.DeviceID) (ed25519.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.key.Reset()
	if err := r.key.BindText(1, id.String()); err != nil {
		return nil, fmt.Errorf("look up device: %w", err)
	}
	if r.key.Step() {
		return r.key.ColumnBlob(0, nil), nil
	}
	if err := r.key.Err(); err != nil {
		return nil, fmt.Errorf("look up device: %w", err)
	}
	return nil, nil
}

// Seen notes that the device made a request.
func (r *Registry) Seen(id seal.DeviceID, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := sqlite.Exec(r.conn, `UPDATE devices SET seen = ?1 WHERE id = ?2 AND seen < ?1 - ?3`,
		now.UnixMilli(), id.String(), seenEvery.Milliseconds())
	if err != nil {
		return fmt.Errorf("note device: %w", err)
	}
	return nil
}

// Describe notes what a device says that it is now: it may have been renamed or updated.
func (r *Registry) Describe(id seal.DeviceID, hostname, os, arch, version string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := sqlite.Exec(r.conn, `UPDATE devices SET hostname = ?1, os = ?2, arch = ?3, version = ?4
		WHERE id = ?5 AND (hostname <> ?1 OR os <> ?2 OR arch <> ?3 OR version <> ?4)`, hostname, os, arch, version, id.String())
	if err != nil {
		return fmt.Errorf("describe device: %w", err)
	}
	return nil
}

// Revoke ends a device's right to deliver. What it delivered stays.
func (r *Registry) Revoke(id seal.DeviceID, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := sqlite.Exec(r.conn, `UPDATE devices SET revoked = coalesce(revoked, ?) WHERE id = ?`, now.UnixMilli(), id.String())
	if err == nil && r.conn.Changes() == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return fmt.Errorf("revoke device: %w", err)
	}
	return nil
}

// Devices lists the enrolled devices by the time of their enrolment.
func (r *Registry) Devices(ctx context.Context) ([]Device, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Device
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		id, err := seal.ParseDeviceID(s.ColumnText(0))
		if err != nil {
			return err
		}
		d := Device{
			ID: id, Public: s.ColumnBlob(1, nil), Hostname: s.ColumnText(2), OS: s.ColumnText(3), Arch: s.ColumnText(4),
			Version: s.ColumnText(5), Enrolled: time.UnixMilli(s.ColumnInt64(6)).UTC(), Seen: time.UnixMilli(s.ColumnInt64(7)).UTC(),
		}
		if s.ColumnType(8) != sqlite3.NULL {
			d.Revoked = time.UnixMilli(s.ColumnInt64(8)).UTC()
		}
		out = append(out, d)
		return ctx.Err()
	}, `SELECT id, public_key, hostname, os, arch, version, enrolled, seen, revoked FROM devices ORDER BY enrolled, id`)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return out, nil
}
