package macpkg

import (
	"bytes"
	"encoding/binary"
	"path"
	"slices"
	"time"
)

// A bill of materials is a store of numbered blocks, some of which have names. All
// numbers are big-endian. The header is 512 bytes; the table of blocks and the names
// stand behind the blocks.

type block = uint32 // a block's number; 0 is none

type store struct {
	data   bytes.Buffer // begins behind the header
	blocks [][2]uint32  // offset and length
	names  bytes.Buffer
	named  uint32
}

const bomHeader = 512

func newStore() *store { return &store{blocks: [][2]uint32{{0, 0}}} }

// add makes a block of the values, each a number of fixed size, a byte slice or an array.
func (s *store) add(values ...any) block {
	start := s.data.Len()
	for _, v := range values {
		put(&s.data, v)
	}
	s.blocks = append(s.blocks, [2]uint32{uint32(bomHeader + start), uint32(s.data.Len() - start)})
	return block(len(s.blocks) - 1)
}

func (s *store) name(name string, b block) {
	put(&s.names, b)
	s.names.WriteByte(byte(len(name)))
	s.names.WriteString(name)
	s.named++
}

func (s *store) bytes() []byte {
	var table, names, out bytes.Buffer
	put(&table, uint32(len(s.blocks)))
	put(&table, s.blocks)
	put(&table, [5]uint32{}) // no free blocks, and room for two, as mkbom leaves
	put(&names, s.named)
	names.Write(s.names.Bytes())
	at := uint32(bomHeader + s.data.Len())
	out.WriteString("BOMStore")
	put(&out, []uint32{1, uint32(len(s.blocks) - 1), at + uint32(names.Len()), uint32(table.Len()), at, uint32(names.Len())})
	out.Write(make([]byte, bomHeader-out.Len()))
	for _, part := range []*bytes.Buffer{&s.data, &names, &table} {
		out.Write(part.Bytes())
	}
	return out.Bytes()
}

// put cannot fail: the values are of fixed size and the buffer grows.
func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.BigEndian, v) }

// tree makes a sorted table with one leaf that holds all pairs.
func (s *store) tree(blockSize uint32, pairs [][2]block) block {
	leaf := s.add(uint16(1), uint16(len(pairs)), uint32(0), uint32(0), pairs)
	return s.add([]byte("tree"), uint32(1), leaf, blockSize, uint32(len(pairs)), uint8(0))
}

// The kinds of things in a bill of materials.
const (
	bomFile   = uint8(1)
	bomFolder = uint8(2)
)

// bom lists the entries. Each is a pair: its number and properties, and its parent's
// number and its name. Pairs are sorted by parent and name, which numbering level by
// level gives.
func bom(entries []entry, date time.Time) []byte {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b entry) int { return len(elements(a.path)) - len(elements(b.path)) })
	s := newStore()
	s.name("BomInfo", s.add([]uint32{1, uint32(len(entries) + 1), 1, 0, 0, 0, 0}))
	number := map[string]uint32{}
	var pairs [][2]block
	for i, e := range sorted {
		number[e.path] = uint32(i + 1)
		kind, sum := bomFile, cksum(e.data)
		if e.folder {
			kind, sum = bomFolder, 0
		}
		properties := s.add(kind, uint8(1), uint16(3), uint16(e.fullMode()), uint32(0), uint32(0), uint32(date.Unix()),
			uint32(len(e.data)), uint8(1), sum, uint32(0))
		parent := uint32(0)
		if e.path != "." {
			parent = number[path.Dir(e.path)]
		}
		pairs = append(pairs, [2]block{s.add(number[e.path], properties), s.add(parent, []byte(path.Base(e.path)+"\x00"))})
	}
	s.name("Paths", s.tree(4096, pairs))
	s.name("HLIndex", s.tree(4096, nil))
	s.name("VIndex", s.add(uint32(1), s.tree(128, nil), uint32(0), uint8(0)))
	s.name("Size64", s.tree(4096, nil))
	return s.bytes()
}

// cksum is the checksum of POSIX's cksum(1): CRC-32 with polynomial 04C11DB7, most
// significant bit first, over the data and then its length's bytes, the low one first.
func cksum(data []byte) uint32 {
	crc := uint32(0)
	step := func(b byte) { crc = crc<<8 ^ cksumTable[byte(crc>>24)^b] }
	for _, b := range data {
		step(b)
	}
	for n := len(data); n > 0; n >>= 8 {
		step(byte(n))
	}
	return ^crc
}

var cksumTable = func() (t [256]uint32) {
	for i := range t {
		crc := uint32(i) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()
