package macpkg

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func cksumText(s string) string { return strconv.FormatUint(uint64(cksum([]byte(s))), 10) }

// bomReader reads a bill of materials by the published descriptions of the format, not
// by the writer's code.
type bomReader struct {
	t    *testing.T
	data []byte
}

func (r bomReader) u32(at uint32) uint32 { return binary.BigEndian.Uint32(r.data[at:]) }
func (r bomReader) u16(at uint32) uint32 { return uint32(binary.BigEndian.Uint16(r.data[at:])) }

// block is where the numbered block is.
func (r bomReader) block(n uint32) (at, size uint32) {
	table := r.u32(16)
	if n == 0 || n >= r.u32(table) {
		r.t.Fatalf("block %d of %d", n, r.u32(table))
	}
	at, size = r.u32(table+4+8*n), r.u32(table+8+8*n)
	if uint64(at)+uint64(size) > uint64(len(r.data)) {
		r.t.Fatalf("block %d is outside", n)
	}
	return at, size
}

func (r bomReader) names() map[string]uint32 {
	at := r.u32(24)
	names := map[string]uint32{}
	n := r.u32(at)
	at += 4
	for range n {
		length := uint32(r.data[at+4])
		names[string(r.data[at+5:at+5+length])] = r.u32(at)
		at += 5 + length
	}
	return names
}

// pairs are what is in a tree of one leaf.
func (r bomReader) pairs(tree uint32) [][2]uint32 {
	at, size := r.block(tree)
	if size != 21 || string(r.data[at:at+4]) != "tree" || r.u32(at+4) != 1 {
		r.t.Fatalf("block %d is no tree", tree)
	}
	count := r.u32(at + 16)
	leaf, _ := r.block(r.u32(at + 8))
	if r.u16(leaf) != 1 || r.u16(leaf+2) != count || r.u32(leaf+4) != 0 || r.u32(leaf+8) != 0 {
		r.t.Fatalf("the leaf of tree %d", tree)
	}
	var pairs [][2]uint32
	for i := range count {
		pairs = append(pairs, [2]uint32{r.u32(leaf + 12 + 8*i), r.u32(leaf + 16 + 8*i)})
	}
	return pairs
}

// readBom lists number, parent, name, kind, mode, size and checksum of each entry.
func readBom(t *testing.T, data []byte) []string {
	t.Helper()
	r := bomReader{t, data}
	if string(data[:8]) != "BOMStore" || r.u32(8) != 1 {
		t.Fatal("no bill of materials")
	}
	names := r.names()
	for _, empty := range []string{"HLIndex", "Size64"} {
		if len(r.pairs(names[empty])) != 0 {
			t.Errorf("%s has entries", empty)
		}
	}
	index, _ := r.block(names["VIndex"])
	if len(r.pairs(r.u32(index+4))) != 0 {
		t.Error("VIndex has entries")
	}
	var list []string
	for _, p := range r.pairs(names["Paths"]) {
		key, _ := r.block(p[0])
		value, size := r.block(p[1])
		info, infoSize := r.block(r.u32(key + 4))
		if infoSize != 31 || r.u32(info+6) != 0 || r.u32(info+10) != 0 || r.u32(info+14) != uint32(sample().Time.Unix()) {
			t.Errorf("properties of entry %d", r.u32(key))
		}
		kind := map[byte]string{1: "file", 2: "folder"}[data[info]]
		name := strings.TrimSuffix(string(data[value+4:value+size]), "\x00")
		list = append(list, fmt.Sprintf("%d %d %s %s %o %d %d", r.u32(key), r.u32(value), name, kind, r.u16(info+4), r.u32(info+18), r.u32(info+23)))
	}
	info, _ := r.block(names["BomInfo"])
	if r.u32(info) != 1 || int(r.u32(info+4)) != len(list)+1 {
		t.Errorf("BomInfo counts %d of %d", r.u32(info+4), len(list))
	}
	return list
}
