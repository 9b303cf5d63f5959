package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/seal"
)

// ErrNoRecipient reports a device that never asked for keys, so that nothing can be
// sealed to it.
var ErrNoRecipient = errors.New("the device has not asked for keys")

// DeviceKeys is what waits at the archive for one device.
type DeviceKeys struct {
	Device    seal.DeviceID
	Recipient []byte    // what keys are sealed to
	Asked     time.Time // last, to the minute
	Sealed    []byte    // nil for nothing
	Given     time.Time // when it was; zero for nothing
}

// AskKeys notes what a device's keys are sealed to, and returns what waits for it.
func (r *Registry) AskKeys(device seal.DeviceID, recipient []byte, now time.Time) (sealed []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var known []byte
	var asked int64
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		known, sealed, asked = s.ColumnBlob(0, nil), s.ColumnBlob(1, nil), s.ColumnInt64(2)
		return nil
	}, `SELECT recipient, sealed, asked FROM device_keys WHERE device = ?`, device.String())
	if err != nil {
		return nil, fmt.Errorf("look up keys: %w", err)
	}
	if bytes.Equal(known, recipient) && now.UnixMilli()-asked < seenEvery.Milliseconds() {
		return sealed, nil
	}
	// Another recipient can't open what was sealed to the one before.
	err = sqlite.Exec(r.conn, `INSERT INTO device_keys (device, recipient, asked) VALUES (?1, ?2, ?3)
		ON CONFLICT (device) DO UPDATE SET asked = ?3, recipient = ?2,
			sealed = CASE recipient WHEN ?2 THEN sealed END, given = CASE recipient WHEN ?2 THEN given END`,
		device.String(), recipient, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("note keys: %w", err)
	}
	if !bytes.Equal(known, recipient) {
		sealed = nil
	}
	return sealed, nil
}

// GiveKeys leaves sealed keys for a device, in place of what waits; nil takes it back.
// The recipient is the one that they are sealed to.
func (r *Registry) GiveKeys(device seal.DeviceID, recipient, sealed []byte, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var given any = now.UnixMilli()
	var value any = sealed
	if sealed == nil {
		given, value = nil, nil
	}
	err := sqlite.Exec(r.conn, `UPDATE device_keys SET sealed = ?, given = ? WHERE device = ? AND recipient = ?`, value, given, device.String(), recipient)
	if err == nil && r.conn.Changes() == 0 {
		err = ErrNoRecipient
	}
	if err != nil {
		return fmt.Errorf("give keys: %w", err)
	}
	return nil
}

// Keys lists the devices that have asked for keys, and what waits for them.
func (r *Registry) Keys(ctx context.Context) ([]DeviceKeys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []DeviceKeys
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		id, err := seal.ParseDeviceID(s.ColumnText(0))
		if err != nil {
			return err
		}
		k := DeviceKeys{Device: id, Recipient: s.ColumnBlob(1, nil), Asked: time.UnixMilli(s.ColumnInt64(2)).UTC()}
		if s.ColumnType(3) != sqlite3.NULL {
			k.Sealed, k.Given = s.ColumnBlob(3, nil), time.UnixMilli(s.ColumnInt64(4)).UTC()
		}
		out = append(out, k)
		return ctx.Err()
	}, `SELECT device, recipient, asked, sealed, given FROM device_keys ORDER BY device`)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return out, nil
}
