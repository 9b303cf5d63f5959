package blob_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
	"google.golang.org/protobuf/encoding/protowire"

	"tidemark/collector/wechat/blob"
	"tidemark/record"
)

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func entry(b []byte, kind uint64, s string) []byte {
	return text(b, 3, string(text(number(nil, 1, kind), 2, s)))
}

const (
	stem  = "0123456789abcdef0123456789ABCDEF"
	other = "ffffffffffffffffffffffffffffffff"
)

func extra() []byte {
	b := text(nil, 1, string(number(number(nil, 1, 16), 2, 0)))
	b = entry(b, 1, "wxid_a")
	b = entry(b, 2, "not known")
	b = entry(b, 3, `wxid_me\FileStorage\Cache\t.dat`)
	b = entry(b, 4, `wxid_me\FileStorage\Image\i.dat`)
	return entry(b, 7, "<msgsource></msgsource>")
}

// The entries of BytesExtra are found by their kinds.
func TestExtra(t *testing.T) {
	want := blob.Extra{Sender: "wxid_a", Thumbnail: `wxid_me\FileStorage\Cache\t.dat`, Original: `wxid_me\FileStorage\Image\i.dat`, Source: "<msgsource></msgsource>"}
	if got := blob.ReadExtra(extra()); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, sender := range map[string]string{"XML of a system row": "<sysmsg/>", "a sentence": "two words", "nothing": ""} {
		if got := blob.ReadExtra(entry(nil, 1, sender)); got.Sender != "" {
			t.Errorf("%s: the sender is %q", name, got.Sender)
		}
	}
	if got := blob.ReadExtra(entry(entry(nil, 1, "first"), 1, "second")); got.Sender != "first" {
		t.Errorf("of two senders %q counts", got.Sender)
	}
}

// packed_info_data tells file stems and transcripts, whatever else stands in it.
func TestPacked(t *testing.T) {
	head := number(number(nil, 1, 106), 2, 14)
	for name, c := range map[string]struct {
		in   []byte
		want blob.Packed
	}{
		"image":      {text(slices.Clone(head), 3, string(text(number(nil, 1, 9), 4, stem))), blob.Packed{Image: stem}},
		"video":      {text(slices.Clone(head), 4, string(text(nil, 8, stem))), blob.Packed{Video: stem}},
		"resource":   {text(nil, 2, string(text(nil, 1, stem))), blob.Packed{Resource: stem}},
		"transcript": {text(slices.Clone(head), 5, string(text(number(nil, 1, 2), 2, "你好"))), blob.Packed{Transcript: "你好", TranscriptDone: true}},
		"not done":   {text(nil, 5, string(text(number(nil, 1, 1), 2, "你"))), blob.Packed{Transcript: "你"}},
		"plain name": {[]byte("\x00\x01junk " + stem + "_t.dat\xff"), blob.Packed{Thumbnail: stem + "_t.dat"}},
		"a path":     {text(nil, 3, string(text(nil, 4, "../../../../etc/passwd0123456789"))), blob.Packed{}},
		"both":       {text(text(nil, 3, string(text(nil, 4, stem))), 4, string(text(nil, 8, other))), blob.Packed{Image: stem, Video: other}},
		"numbers":    {number(number(slices.Clone(head), 3, 4), 5, 2), blob.Packed{}},
		"nothing":    {nil, blob.Packed{}},
	} {
		if got := blob.ReadPacked(c.in); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// Members are listed in the room's order with what the room says of them.
func TestMembers(t *testing.T) {
	member := func(parts ...string) string {
		b := number(nil, 3, 2049)
		for i, p := range parts {
			b = text(b, protowire.Number([]int{1, 2, 4}[i]), p)
		}
		return string(b)
	}
	b := text(nil, 1, member("wxid_a", "甲", "wxid_b"))
	b = text(number(b, 5, 500), 1, member("wxid_b"))
	b = text(b, 1, member(""))
	want := []record.Member{{ID: "wxid_a", Name: "甲", Inviter: "wxid_b"}, {ID: "wxid_b"}}
	if got := blob.ReadMembers(b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Label ids are read in each form that field 30 may have.
func TestLabels(t *testing.T) {
	for name, in := range map[string][]byte{
		"text":    text(number(nil, 1, 5), 30, "1,22,"),
		"numbers": number(number(nil, 30, 1), 30, 22),
		"pieces":  text(text(nil, 30, "1"), 30, "22"),
	} {
		if got := blob.ReadLabels(in); !slices.Equal(got, []string{"1", "22"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := blob.ReadLabels(text(nil, 30, "1, no")); got != nil {
		t.Errorf("labels out of words: %v", got)
	}
	if b := text(number(nil, 1, 7), 9, "77001"); !blob.HasText(b, "77001") || blob.HasText(b, "7700") {
		t.Error("a text is not found, or too much is")
	}
}

func pack(t testing.TB, s string) []byte {
	var c lz4.Compressor
	b := make([]byte, lz4.CompressBlockBound(len(s)))
	n, err := c.CompressBlock([]byte(s), b)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 { // what does not get smaller is a block of literals alone
		if len(s) > 14 {
			t.Fatal("give a text that packs, or a short one")
		}
		return append([]byte{byte(len(s)) << 4}, s...)
	}
	return b[:n]
}

// A block unpacks to what was packed, however much larger, without the NUL bytes behind.
func TestLZ4(t *testing.T) {
	for name, want := range map[string]string{
		"short":         "<msg/>",
		"hundredfold":   strings.Repeat("<title>x</title>", 1<<16),
		"literals":      "abcdefghijklm" + strings.Repeat("z", 300),
		"almost 32 MiB": strings.Repeat("a", blob.MaxContent-1),
	} {
		got, err := blob.LZ4(nil, pack(t, want+"\x00"))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	buf := make([]byte, 64)
	if got, err := blob.LZ4(buf, pack(t, "<msg/>")); err != nil || &got[0] != &buf[0] {
		t.Errorf("memory that is given is not used: %v", err)
	}
}

// What is no block, or too large, is said so before any memory is taken for it.
func TestLZ4Faults(t *testing.T) {
	good := pack(t, strings.Repeat("<title>x</title>", 100))
	for name, c := range map[string]struct {
		block []byte
		want  error
	}{
		"nothing":           {nil, blob.ErrBlock},
		"cut":               {good[:len(good)-3], blob.ErrBlock},
		"from before start": {[]byte{0x10, 'a', 9, 0, 0x00}, blob.ErrBlock},
		"distance 0":        {[]byte{0x10, 'a', 0, 0, 0x00}, blob.ErrBlock},
		"length cut":        {[]byte{0xf0, 255}, blob.ErrBlock},
		"too large":         {pack(t, strings.Repeat("a", blob.MaxContent+1)), blob.ErrLarge},
		"XML":               {[]byte("<msg><appmsg></appmsg></msg>"), blob.ErrBlock},
	} {
		if got, err := blob.LZ4(nil, c.block); !errors.Is(err, c.want) {
			t.Errorf("%s: %d bytes, %v; want %v", name, len(got), err, c.want)
		}
	}
}

// Whatever bytes a column holds, reading them ends without a panic, gives valid text, and
// takes memory within bounds.
func FuzzBlob(f *testing.F) {
	f.Add(extra())
	f.Add(text(nil, 3, string(text(nil, 4, stem))))
	f.Add(text(nil, 5, string(text(number(nil, 1, 2), 2, "你\xff"))))
	f.Add(text(nil, 1, string(text(text(nil, 1, "wxid_a"), 2, "甲"))))
	f.Add(text(nil, 30, "1,2"))
	f.Add([]byte(stem + "_t.dat"))
	f.Fuzz(func(t *testing.T, b []byte) {
		blob.ReadExtra(b)
		p := blob.ReadPacked(b)
		if strings.ToValidUTF8(p.Transcript, "") != p.Transcript {
			t.Error("a transcript that is no UTF-8")
		}
		if members := blob.ReadMembers(b); len(members) > len(b) {
			t.Error("more members than bytes")
		}
		n := 0
		for _, id := range blob.ReadLabels(b) {
			n += len(id)
		}
		if n > 10*len(b) { // a number of ten digits takes five bytes, its tag two
			t.Errorf("%d digits of labels out of %d bytes", n, len(b))
		}
		blob.HasText(b, "x")
	})
}

// Whatever a block holds, it unpacks to what the library makes of it or to an error, and
// to no more than 255 times its size.
func FuzzLZ4(f *testing.F) {
	f.Add(pack(f, strings.Repeat("<title>x</title>", 100)))
	f.Add(pack(f, "<msg/>"))
	f.Add([]byte{0xf0, 255, 255})
	f.Fuzz(func(t *testing.T, block []byte) {
		got, err := blob.LZ4(nil, block)
		if err != nil {
			return
		}
		if len(got) > 255*len(block) {
			t.Errorf("%d bytes of %d", len(got), len(block))
		}
		buf := make([]byte, len(got)+256*len(block))
		n, err := lz4.UncompressBlock(block, buf)
		if err != nil || !bytes.Equal(bytes.TrimRight(buf[:n], "\x00"), got) {
			t.Errorf("the library says %d bytes, %v; we say %d", n, err, len(got))
		}
	})
}
