package spool

import (
	"encoding/binary"
	"os"
	"testing"
)

// Layout says where in a sound file things lie, for tests that damage it.
type Layout struct {
	PageSize int64
	Root     int64            // offset of the root bucket's page
	Buckets  map[string]int64 // offsets of the pages or values that hold top-level buckets
	Values   map[string]int64 // offsets of the small values in force, by bucket/key
	Batches  map[uint64]int64 // offsets of the messages in force, by number
	Lane     int64            // offset of the page of the messages lane
	Free     int64            // offset of a page that is not in use, 0 for none
	Freelist int64            // offset of the list of free pages, 0 for none
	Newest   int64            // offset of the root in force
	Oldest   int64            // offset of the other root
}

// LayoutOf reads it.
func LayoutOf(t testing.TB, path string) Layout {
	t.Helper()
	s, err := check(path)
	if err != nil {
		t.Fatal(err)
	}
	p := s.pages
	l := Layout{PageSize: p.pageSize, Root: int64(p.root) * p.pageSize, Buckets: map[string]int64{}, Values: map[string]int64{}, Batches: map[uint64]int64{}}
	if p.txid%2 == 1 {
		l.Newest = p.pageSize
	} else {
		l.Oldest = p.pageSize
	}
	for id := uint64(2); id < p.pgid && l.Free == 0; id++ {
		if p.seen[id/64]&(1<<(id%64)) == 0 {
			l.Free = int64(id) * p.pageSize
		}
	}
	if p.freelist != noFreelist {
		l.Freelist = int64(p.freelist) * p.pageSize
	}
	again := &pages{r: reopen(t, path), size: p.size, pageSize: p.pageSize, root: p.root, pgid: p.pgid, seen: make([]uint64, len(p.seen))}
	where := func(e element) int64 {
		b, err := again.value(element{offset: e.offset, size: 8})
		if err != nil {
			t.Fatal(err)
		}
		if root := le64(b); root != 0 {
			return int64(root) * p.pageSize
		}
		return e.offset
	}
	err = again.walk(p.root, func(e element) error {
		l.Buckets[string(e.key)] = where(e)
		bucket := string(e.key)
		return again.enter(e, func(e element) error {
			l.Values[bucket+"/"+string(e.key)] = e.offset
			if bucket != "lanes" || string(e.key) != "messages" {
				return nil
			}
			l.Lane = where(e)
			return again.enter(e, func(e element) error {
				l.Batches[binary.BigEndian.Uint64(e.key)] = e.offset
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

func reopen(t testing.TB, path string) *os.File {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Sum is what stands behind a value, or beside the version.
func Sum(key string, value []byte) []byte { return withSum([]byte(key), value)[len(value):] }
