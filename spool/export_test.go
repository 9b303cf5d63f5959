package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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

// Survey is check of bytes: how many batches they hold, and how many bytes it read.
func Survey(b []byte) (batches int64, read int64, err error) {
	s, err := surveyed(bytes.NewReader(b), int64(len(b)))
	if s == nil {
		return 0, 0, err
	}
	for _, l := range s.lanes {
		batches += l.counts.batches
	}
	return batches, s.pages.read, err
}

// Scan is how many batches a scan of bytes finds.
func Scan(b []byte, o Options) (int, error) {
	f, err := scan(bytes.NewReader(b), int64(len(b)), &o)
	if err != nil {
		return 0, err
	}
	return len(f.seen), nil
}

var opened atomic.Pointer[os.File] // the file that bbolt opened last

func init() {
	openBolt = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		opened.Store(f)
		return f, err
	}
}

// Break makes the file that was opened last fail: every use of it is an I/O error.
func Break() { opened.Load().Close() }

// DieAt ends the process, as SIGKILL does, when it reaches the nth point from now.
func DieAt(n int) {
	var mu sync.Mutex
	reached = func() {
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			panic(fmt.Sprint("still alive: ", err))
		}
	}
}

// CheckCost is how many bytes opening the file at path reads.
func CheckCost(t testing.TB, path string) int64 {
	t.Helper()
	s, err := check(path)
	if err != nil {
		t.Fatal(err)
	}
	return s.pages.read
}
