package collector_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/discover"
	"tidemark/collector/simtest"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// keyring is a key source that a test can change.
type keyring struct {
	mu   sync.Mutex
	keys []sqlcipher.Key
	err  error
}

func (k *keyring) Keys(context.Context, string) ([]sqlcipher.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, k.err
}

func (k *keyring) set(hex ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = nil
	for _, h := range hex {
		key, err := sqlcipher.ParseKey(h)
		if err != nil {
			panic(err)
		}
		k.keys = append(k.keys, key)
	}
}

// device is a laptop: a spool on a real disk and an archive that can open what it
// holds. Its collector can be made anew, as after a restart.
type device struct {
	t       testing.TB
	world   *simtest.World
	archive *sealtest.Archive
	id      *seal.Identity
	dir     string
	spool   *spool.Spool
	keys    *keyring
	options collector.Options
	log     bytes.Buffer
	records bytes.Buffer // everything that has left the spool
}

func newDevice(t testing.TB, w *simtest.World) *device {
	d := &device{t: t, world: w, archive: sealtest.New(t), id: seal.NewIdentity(), dir: t.TempDir(), keys: &keyring{}}
	d.openSpool()
	t.Cleanup(func() { d.spool.Close() })
	d.options = collector.Options{
		Device: d.id.ID(), Secret: d.id.Secret("digest"), Keys: d.keys, Poll: 100 * time.Millisecond,
		Find:   func() ([]discover.Account, []discover.Problem) { return only(w.Root) },
		Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
	}
	return d
}

// only finds accounts below root and nowhere else, whoever's machine this is.
func only(root string) (out []discover.Account, problems []discover.Problem) {
	found, problems := discover.Find([]string{root})
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, problems
	}
	for _, a := range found {
		if strings.HasPrefix(a.Path, real+string(filepath.Separator)) {
			out = append(out, a)
		}
	}
	return out, problems
}

func (d *device) openSpool() {
	d.t.Helper()
	s, err := spool.Open(filepath.Join(d.dir, "spool.db"), spool.Options{Identity: d.id, Archive: d.archive.Archive})
	if err != nil {
		d.t.Fatal(err)
	}
	d.spool = s
}

func (d *device) collector() *collector.Collector {
	d.t.Helper()
	o := d.options
	o.Spool = d.spool
	c, err := collector.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// once makes one pass and returns the status after it.
func (d *device) once() collector.Status {
	d.t.Helper()
	c := d.collector()
	if err := c.Once(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return c.Status()
}

// drain plays the archive: it opens every batch and acknowledges it.
func (d *device) drain() {
	d.t.Helper()
	for {
		batches, err := d.spool.Peek(seal.Messages, 8<<20)
		if err != nil {
			d.t.Fatal(err)
		}
		if len(batches) == 0 {
			return
		}
		var notes [][]byte
		for _, b := range batches {
			if err := b.Verify(d.id.Public()); err != nil {
				d.t.Fatal(err)
			}
			d.records.Write(d.archive.Open(d.t, b))
			notes = append(notes, d.archive.Receipt(d.t, b))
		}
		if _, err := d.spool.AckAll(notes); err != nil {
			d.t.Fatal(err)
		}
	}
}

// all drains and parses everything captured so far.
func (d *device) all() []*record.Record {
	d.t.Helper()
	d.drain()
	var out []*record.Record
	for line := range bytes.Lines(d.records.Bytes()) {
		r, err := record.Parse(line)
		if err != nil {
			d.t.Fatalf("%v: %s", err, line)
		}
		out = append(out, r)
	}
	return out
}

// events lists the events captured so far as "name severity".
func (d *device) events() []string {
	var out []string
	for _, r := range d.all() {
		if r.Kind == record.KindEvent {
			out = append(out, fmt.Sprintf("%s %s", r.Event, r.Severity))
		}
	}
	return out
}

// compare holds everything captured against the oracle.
func (d *device) compare(args ...string) {
	d.t.Helper()
	d.drain()
	// The archive keeps a record that arrives again, such as a message found in another
	// database, once.
	known := map[string]bool{}
	var kept []byte
	for _, r := range d.all() {
		if !known[r.ID] {
			known[r.ID] = true
			kept = append(r.AppendJSON(kept), '\n')
		}
	}
	if err := os.WriteFile(d.recordsFile(), kept, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if f := d.world.Compare(d.recordsFile(), args...); !f.OK {
		d.t.Errorf("archive and oracle differ:\n%s\nlog:\n%s", f.Report, d.log.String())
	} else {
		d.t.Log(f.Report)
	}
}

// recordsFile is where compare puts what the archive would keep.
func (d *device) recordsFile() string { return filepath.Join(d.dir, "records.ndjson") }

// database finds a database's status.
func database(t testing.TB, s collector.Status, file string) collector.DatabaseStatus {
	t.Helper()
	for _, a := range s.Accounts {
		for _, d := range a.Databases {
			if d.File == file {
				return d
			}
		}
	}
	t.Fatalf("%s is not in the status: %+v", file, s)
	return collector.DatabaseStatus{}
}
