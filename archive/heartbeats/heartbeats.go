// Package heartbeats keeps what devices say of their health: the last of each, and a
// bounded history of what changed.
//
// It is one small SQLite file that a server writes and others may read beside it. Nothing
// rests on it: a file that was lost or is damaged is made anew, and within an interval
// every device that is alive is in it again. So a heartbeat is not synced to the disk by
// itself, which 10,000 devices would make the archive's disk feel.
package heartbeats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// ChangesKept is how many changes of a device's health are kept; older ones go.
const ChangesKept = 200

const schema = `
CREATE TABLE IF NOT EXISTS heartbeats (
	device   TEXT PRIMARY KEY,
	received INTEGER NOT NULL,  -- Unix milliseconds of the archive's clock
	body     TEXT NOT NULL,     -- the last heartbeat, JSON
	said     TEXT NOT NULL      -- what of it makes a change when it is another
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
	device   TEXT NOT NULL,
	n        INTEGER NOT NULL,  -- counts a device's changes
	received INTEGER NOT NULL,
	body     TEXT NOT NULL,     -- JSON of a Change
	PRIMARY KEY (device, n)
) STRICT, WITHOUT ROWID;`

// Beat is a device's last heartbeat.
type Beat struct {
	Device   seal.DeviceID
	Received time.Time // the archive's clock
	protocol.Heartbeat
}

// Skew is how far the device's clock was ahead of the archive's, less the time that the
// heartbeat was under way.
func (b *Beat) Skew() time.Duration { return b.At.Sub(b.Received) }

// Change is a device's health from one moment to the next change.
type Change struct {
	Received time.Time                 `json:"received"` // the archive's clock
	At       time.Time                 `json:"at"`       // the device's
	Cause    string                    `json:"cause"`
	Overall  string                    `json:"overall"`
	States   []protocol.HeartbeatState `json:"states"`
	Version  string                    `json:"version"`
	Hostname string                    `json:"hostname"`
}

// Store is open on a file. Its methods may be called concurrently.
type Store struct {
	mu   sync.Mutex // holds the one connection
	conn *sqlite3.Conn
}

// Open opens the file, and makes it when it is not there. One that is damaged is set
// aside as name.damaged and made anew; told is then called, if it is not nil.
func Open(name string, told func(error)) (*Store, error) {
	s, err := open(name)
	if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		if told != nil {
			told(err)
		}
		for _, part := range []string{name + "-wal", name + "-shm"} {
			if rerr := os.Remove(part); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
				return nil, fmt.Errorf("open heartbeats: %w", rerr)
			}
		}
		if rerr := os.Rename(name, name+".damaged"); rerr != nil {
			return nil, fmt.Errorf("open heartbeats: %w", rerr)
		}
		s, err = open(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open heartbeats: %w", err)
	}
	return s, nil
}

func open(name string) (*Store, error) {
	conn, err := sqlite.Open(name)
	if err != nil {
		return nil, err
	}
	conn.BusyTimeout(10 * time.Second)
	if err := conn.Exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;` + schema); err != nil {
		conn.Close()
		return nil, err
	}
	return &Store{conn: conn}, nil
}

// Close closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn.Close()
}

// Keep keeps a heartbeat that Check has passed as the device's last. What has changed
// since the one before goes into the history.
func (s *Store) Keep(device seal.DeviceID, h *protocol.Heartbeat, received time.Time) (err error) {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("keep heartbeat: %w", err)
	}
	change := Change{Received: received.UTC(), At: h.At, Cause: h.Cause, Overall: h.Overall, States: h.States, Version: h.Version, Hostname: h.Machine.Hostname}
	said, err := json.Marshal([]any{h.Overall, h.Cause == protocol.BeatStopped, h.Version, h.Machine.Hostname, stateNames(h)})
	if err != nil {
		return fmt.Errorf("keep heartbeat: %w", err)
	}
	changed, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("keep heartbeat: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.conn.BeginImmediate()
	if err != nil {
		return fmt.Errorf("keep heartbeat: %w", err)
	}
	defer tx.End(&err)
	id, before := device.String(), ""
	err = sqlite.Query(s.conn, func(r *sqlite3.Stmt) error { before = r.ColumnText(0); return nil }, `SELECT said FROM heartbeats WHERE device = ?`, id)
	if err == nil {
		err = sqlite.Exec(s.conn, `INSERT INTO heartbeats (device, received, body, said) VALUES (?, ?, ?, ?)
			ON CONFLICT (device) DO UPDATE SET received = excluded.received, body = excluded.body, said = excluded.said`,
			id, received.UnixMilli(), string(body), string(said))
	}
	if err == nil && before != string(said) {
		err = sqlite.Exec(s.conn, `INSERT INTO changes (device, n, received, body)
			SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3 FROM changes WHERE device = ?1`, id, received.UnixMilli(), string(changed))
		if err == nil {
			err = sqlite.Exec(s.conn, `DELETE FROM changes WHERE device = ?1 AND n <= (SELECT max(n) FROM changes WHERE device = ?1) - ?2`, id, int64(ChangesKept))
		}
	}
	if err != nil {
		return fmt.Errorf("keep heartbeat: %w", err)
	}
	return nil
}

// stateNames are the states without their times: the same state of the same account is
// no change.
func stateNames(h *protocol.Heartbeat) []string {
	names := []string{}
	for _, s := range h.States {
		names = append(names, s.ID+" "+s.Severity+" "+s.Account)
	}
	slices.Sort(names)
	return names
}

// Last lists the last heartbeat of every device that has sent one.
func (s *Store) Last(ctx context.Context) ([]Beat, error) {
	return s.read(ctx, `SELECT device, received, body FROM heartbeats ORDER BY device`)
}

// Of returns a device's last heartbeat, or nil when it has sent none.
func (s *Store) Of(ctx context.Context, device seal.DeviceID) (*Beat, error) {
	beats, err := s.read(ctx, `SELECT device, received, body FROM heartbeats WHERE device = ?`, device.String())
	if err != nil || len(beats) == 0 {
		return nil, err
	}
	return &beats[0], nil
}

func (s *Store) read(ctx context.Context, sql string, args ...any) ([]Beat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Beat
	err := sqlite.Query(s.conn, func(r *sqlite3.Stmt) error {
		id, err := seal.ParseDeviceID(r.ColumnText(0))
		if err != nil {
			return err
		}
		b := Beat{Device: id, Received: time.UnixMilli(r.ColumnInt64(1)).UTC()}
		if err := json.Unmarshal(r.ColumnRawText(2), &b.Heartbeat); err != nil {
			return err
		}
		out = append(out, b)
		return ctx.Err()
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	return out, nil
}

// Changes lists what changed in a device's health, the newest first, at most ChangesKept.
func (s *Store) Changes(ctx context.Context, device seal.DeviceID) ([]Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Change
	err := sqlite.Query(s.conn, func(r *sqlite3.Stmt) error {
		var c Change
		if err := json.Unmarshal(r.ColumnRawText(0), &c); err != nil {
			return err
		}
		out = append(out, c)
		return ctx.Err()
	}, `SELECT body FROM changes WHERE device = ? ORDER BY n DESC`, device.String())
	if err != nil {
		return nil, fmt.Errorf("read changes of health: %w", err)
	}
	return out, nil
}
