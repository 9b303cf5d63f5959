package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

var update = flag.Bool("update", false, "write the golden vectors anew; only for a new version of a format")

var when = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

const ndjson = "{\"v\":1}\n{\"v\":1,\"text\":\"你好\"}\n"

// chain makes n batches of a lane under one data key.
func chain(t testing.TB, a *sealtest.Archive, id *seal.Identity, n int) []*seal.Batch {
	t.Helper()
	key, err := seal.NewDataKey(a.Archive, id.ID(), seal.Messages, when)
	if err != nil {
		t.Fatal(err)
	}
	var out []*seal.Batch
	var previous seal.Hash
	for i := range n {
		payload, counter, err := key.Seal(seal.Compress([]byte(ndjson)))
		if err != nil {
			t.Fatal(err)
		}
		var header []byte
		if i == 0 {
			header = key.Header
		}
		b, err := seal.NewBatch(id, seal.Header{
			Lane: seal.Messages, Device: id.ID(), Key: key.ID, Seq: uint64(i + 1), Sealed: when, Records: 2, Counter: counter, Previous: previous,
		}, header, payload)
		if err != nil {
			t.Fatal(err)
		}
		previous = b.Hash()
		out = append(out, b)
	}
	return out
}

// A batch reads back as it was written, opens for the archive alone, and a stream of
// batches splits into them again.
func TestBatch(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	batches := chain(t, a, id, 3)
	var stream bytes.Buffer
	for _, b := range batches {
		stream.Write(b.Raw)
	}
	for i, want := range batches {
		b, err := seal.ReadBatch(&stream)
		if err != nil {
			t.Fatal(err)
		}
		if b.Header != want.Header || b.Hash() != want.Hash() || !bytes.Equal(b.Raw, want.Raw) {
			t.Fatalf("batch %d came back as %+v", i, b.Header)
		}
		for how, b := range map[string]*seal.Batch{"written": want, "read": b} {
			if carried := i == 0; (b.KeyHeader != nil) != carried {
				t.Fatalf("batch %d as %s: key header carried %t, want %t", i, how, !carried, carried)
			}
		}
		if i > 0 && b.Previous != batches[i-1].Hash() {
			t.Fatalf("batch %d does not name the one before", i)
		}
		if err := b.Verify(id.Public()); err != nil {
			t.Fatal(err)
		}
		if plain := a.Open(t, b); string(plain) != ndjson {
			t.Fatalf("opened as %q", plain)
		}
	}
	if _, err := seal.ReadBatch(&stream); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
	if _, err := seal.OpenDataKey(batches[0].KeyHeader, sealtest.New(t).Private); !errors.Is(err, seal.ErrNoKey) {
		t.Fatalf("another archive's key: %v", err)
	}
	if err := batches[0].Verify(seal.NewIdentity().Public()); !errors.Is(err, seal.ErrForged) {
		t.Fatalf("another device's key: %v", err)
	}
	if bytes.Contains(batches[0].Raw, []byte("你好")) {
		t.Fatal("content in clear")
	}
}

// No bit of a batch can be changed without its being refused: by its form, by the
// device's signature, or when it is opened.
func TestEveryBitCounts(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	b := chain(t, a, id, 1)[0]
	for i := range b.Raw {
		for bit := range 8 {
			raw := bytes.Clone(b.Raw)
			raw[i] ^= 1 << bit
			c, err := seal.ParseBatch(raw)
			if err == nil {
				err = c.Verify(id.Public())
			}
			if err == nil {
				t.Fatalf("bit %d of byte %d may be changed", bit, i)
			}
			if !errors.Is(err, seal.ErrMalformed) && !errors.Is(err, seal.ErrForged) && !errors.Is(err, seal.ErrNewer) {
				t.Fatalf("byte %d: error of no kind: %v", i, err)
			}
		}
	}
	for n := range b.Raw {
		if _, err := seal.ParseBatch(b.Raw[:n]); !errors.Is(err, seal.ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// A payload opens only in the lane, device and data key it was sealed for, and a
// batch that does not hold as many lines as it says is refused.
func TestOpenRefuses(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	b := chain(t, a, id, 1)[0]
	key, err := seal.OpenDataKey(b.KeyHeader, a.Private)
	if err != nil {
		t.Fatal(err)
	}
	spoil := map[string]func(*seal.Batch){
		"records": func(b *seal.Batch) { b.Records++ },
		"counter": func(b *seal.Batch) { b.Counter++ },
		"lane":    func(b *seal.Batch) { b.Lane = seal.Media },
		"device":  func(b *seal.Batch) { b.Device[3]++ },
		"key":     func(b *seal.Batch) { b.Key[0]++ },
		"payload": func(b *seal.Batch) { b.Payload = bytes.Clone(b.Payload); b.Payload[5]++ },
	}
	for name, fn := range spoil {
		c, _ := seal.ParseBatch(b.Raw)
		fn(c)
		if _, err := c.Open(key); !errors.Is(err, seal.ErrForged) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
	// The same data key as seen by another lane or device derives other associated data.
	other := bytes.Clone(b.KeyHeader)
	other[5] = byte(seal.Media)
	if _, err := seal.OpenDataKey(other, a.Private); !errors.Is(err, seal.ErrForged) {
		t.Errorf("key header moved to another lane: %v", err)
	}
}

// A second recipient opens what the first does.
func TestTwoRecipients(t *testing.T) {
	a := sealtest.New(t)
	private, recipient, err := seal.NewRecipient()
	if err != nil {
		t.Fatal(err)
	}
	doc := a.Document
	doc.Recipients = append(doc.Recipients, recipient)
	data, pin, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	both, err := seal.OpenArchiveDocument(data, pin)
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.NewDataKey(both, seal.NewIdentity().ID(), seal.Media, when)
	if err != nil {
		t.Fatal(err)
	}
	second, err := seal.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	one, err := seal.OpenDataKey(k.Header, a.Private)
	if err != nil {
		t.Fatal(err)
	}
	two, err := seal.OpenDataKey(k.Header, second)
	if err != nil {
		t.Fatal(err)
	}
	if one.ID != k.ID || two.ID != k.ID {
		t.Error("the data key's id differs")
	}
}

// A receipt counts only when the pinned archive signed it, in its one spelling, and
// it names the batch by device, lane, number and hash.
func TestReceipt(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	batches := chain(t, a, id, 2)
	msg := a.Receipt(t, batches[0])
	r, err := seal.OpenReceipt(msg, a.ReceiptVerifier())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Covers(batches[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.Covers(batches[1]); !errors.Is(err, seal.ErrForged) {
		t.Errorf("covers another batch: %v", err)
	}
	if _, err := seal.OpenReceipt(msg, sealtest.New(t).ReceiptVerifier()); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another archive's: %v", err)
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		if got, err := seal.OpenReceipt(bad, a.ReceiptVerifier()); err == nil {
			t.Fatalf("byte %d may be changed: %+v", i, got)
		}
	}
	text, _, _ := strings.Cut(string(msg), "\n\n")
	for what, change := range map[string]func(string) string{
		"a space more":     func(s string) string { return strings.Replace(s, "seq 1", "seq  1", 1) },
		"a leading zero":   func(s string) string { return strings.Replace(s, "seq 1", "seq 01", 1) },
		"capital hash":     func(s string) string { i := strings.Index(s, "hash "); return s[:i] + strings.ToUpper(s[i:]) },
		"a line more":      func(s string) string { return s + "\nmore" },
		"another version":  func(s string) string { return strings.Replace(s, "/v1", "/v2", 1) },
		"another archive":  func(s string) string { return strings.Replace(s, "archive ", "archive x", 1) },
		"another timezone": func(s string) string { return strings.Replace(s, "Z", "+00:00", 1) },
	} {
		signed, err := note.Sign(&note.Note{Text: change(text) + "\n"}, a.Receipts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.OpenReceipt(signed, a.ReceiptVerifier()); err == nil {
			t.Errorf("%s is accepted though signed with the right key", what)
		}
	}
}

// The pinned key decides: any other document, and any slip in the key's text, is
// refused.
func TestArchiveKey(t *testing.T) {
	a := sealtest.New(t)
	s := a.Key.String()
	if k, err := seal.ParseArchiveKey(s); err != nil || k != a.Key {
		t.Fatalf("%v %v", k, err)
	}
	for i := range s {
		for _, c := range "a7x" {
			typo := s[:i] + string(c) + s[i+1:]
			if typo == s {
				continue
			}
			if k, err := seal.ParseArchiveKey(typo); err == nil && k != a.Key {
				t.Fatalf("a slip at %d is not noticed", i)
			}
		}
	}
	if _, err := seal.OpenArchiveDocument(append([]byte(" "), a.Bytes...), a.Key); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another document: %v", err)
	}
}

// The secrets that types hold never reach a log or an error by way of formatting.
func TestRedacted(t *testing.T) {
	id := seal.NewIdentity()
	secret := hex.EncodeToString(id.Seed())
	for _, s := range []string{fmt.Sprint(id), fmt.Sprintf("%v %+v %#v %s", id, id, id, id)} {
		if strings.Contains(s, secret) || !strings.Contains(s, "redacted") {
			t.Errorf("prints as %s", s)
		}
	}
}

// vectors are committed bytes with what must come of them: a batch of years ago
// opens, and damage is named by its kind.
func TestVectors(t *testing.T) {
	dir := filepath.Join("testdata", "vectors")
	if *update {
		writeVectors(t, dir)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	if len(files) < 8 {
		t.Fatalf("only %d vectors found", len(files))
	}
	kinds := map[string]error{"ok": nil, "malformed": seal.ErrMalformed, "newer": seal.ErrNewer, "forged": seal.ErrForged, "no key": seal.ErrNoKey}
	for _, f := range files {
		v := readVector(t, f)
		want, ok := kinds[v["expect"]]
		if !ok {
			t.Fatalf("%s expects %q", f, v["expect"])
		}
		if got, err := openVector(t, v); !errors.Is(err, want) || want == nil && got != v["plain"] {
			t.Errorf("%s: opened as %q, %v; want %s", f, got, err, v["expect"])
		}
	}
}

// A key document and a receipt of this version, as an archive made them, are read for
// ever with the same outcome.
func TestGoldenReceipt(t *testing.T) {
	file := func(name string) string { return filepath.Join("testdata", "golden", name) }
	if *update {
		a := sealtest.New(t)
		id, err := seal.IdentityFromSeed(sha(7))
		if err != nil {
			t.Fatal(err)
		}
		r := seal.Receipt{Archive: a.Name(), Device: id.ID(), Lane: seal.Messages, Seq: 17, Hash: seal.Hash(sha(9)), Log: 4711, Received: when}
		msg, err := r.Sign(a.Receipts)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"archive.json": a.Bytes, "archivekey.txt": []byte(a.Key.String() + "\n"), "receipt.note": msg} {
			if err := os.MkdirAll(filepath.Dir(file(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file(name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pin, err := seal.ParseArchiveKey(strings.TrimSpace(string(read("archivekey.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	a, err := seal.OpenArchiveDocument(read("archive.json"), pin)
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.OpenReceipt(read("receipt.note"), a.ReceiptVerifier())
	if err != nil {
		t.Fatal(err)
	}
	if r.Device.String() != "d_5zpwflwtnhbcwtamqi2pgywoyy" || r.Lane != seal.Messages || r.Seq != 17 || r.Hash != seal.Hash(sha(9)) || r.Log != 4711 || !r.Received.Equal(when) {
		t.Errorf("the receipt says %+v", r)
	}
}

func openVector(t *testing.T, v map[string]string) (string, error) {
	raw := unhex(t, v["batch"])
	b, err := seal.ParseBatch(raw)
	if err != nil {
		return "", err
	}
	if err := b.Verify(ed25519.PublicKey(unhex(t, v["device key"]))); err != nil {
		return "", err
	}
	if b.Hash().String() != v["hash"] {
		return "", fmt.Errorf("hash is %s", b.Hash())
	}
	private, err := seal.ParsePrivateKey(unhex(t, v["recipient"]))
	if err != nil {
		return "", err
	}
	k, err := seal.OpenDataKey(b.KeyHeader, private)
	if err != nil {
		return "", err
	}
	plain, err := b.Open(k)
	return base64.StdEncoding.EncodeToString(plain), err
}

func writeVectors(t *testing.T, dir string) {
	a := sealtest.New(t)
	seed := sha(7)
	id, err := seal.IdentityFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	private, err := a.Private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := sealtest.New(t).Private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	good := chain(t, a, id, 1)[0]
	write := func(name, expect string, recipient []byte, change func([]byte) []byte) {
		raw := change(bytes.Clone(good.Raw))
		hash := good.Hash().String()
		text := fmt.Sprintf("expect: %s\ndevice key: %x\nrecipient: %x\nhash: %s\nplain: %s\nbatch: %x\n",
			expect, id.Public(), recipient, hash, base64.StdEncoding.EncodeToString([]byte(ndjson)), raw)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(i int, v byte) func([]byte) []byte { return func(b []byte) []byte { b[i] = v; return b } }
	write("batch", "ok", private, func(b []byte) []byte { return b })
	write("stranger", "no key", stranger, func(b []byte) []byte { return b })
	write("magic", "malformed", private, at(0, 'X'))
	write("version", "newer", private, at(4, 2))
	write("lane", "malformed", private, at(5, 9))
	write("sequence", "forged", private, func(b []byte) []byte { b[47] = 2; b[70] = 1; return b })
	write("first-names-another", "malformed", private, at(70, 1))
	write("count", "forged", private, at(59, 3))
	write("signature", "forged", private, func(b []byte) []byte { b[120] ^= 1; return b })
	write("key-header", "malformed", private, func(b []byte) []byte { b[200] ^= 1; return b })
	write("payload", "forged", private, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	write("cut", "malformed", private, func(b []byte) []byte { return b[:len(b)-1] })
	write("trailing", "malformed", private, func(b []byte) []byte { return append(b, 0) })
}

func sha(n uint64) []byte {
	r := rand.NewChaCha8([32]byte{byte(n)})
	b := make([]byte, 32)
	r.Read(b)
	return b
}

func readVector(t *testing.T, file string) map[string]string {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("%s: line %q", file, line)
		}
		v[name] = value
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A zstd frame of this version opens for ever: the dictionary is part of the format.
func TestDictionaryIsFixed(t *testing.T) {
	for _, plain := range []string{"", "{}\n", strings.Repeat(ndjson, 1000)} {
		got, err := seal.Decompress(seal.Compress([]byte(plain)))
		if err != nil || string(got) != plain {
			t.Errorf("%d bytes came back as %d, %v", len(plain), len(got), err)
		}
	}
	// A bomb stops at the limit.
	bomb := seal.Compress(make([]byte, seal.MaxPlain+1))
	if _, err := seal.Decompress(bomb); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a frame of more than the limit: %v", err)
	}
}

func FuzzBatch(f *testing.F) {
	a, id := sealtest.New(f), seal.NewIdentity()
	for _, b := range chain(f, a, id, 2) {
		f.Add(b.Raw)
		f.Add(b.Raw[:len(b.Raw)/2])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := seal.ParseBatch(raw)
		streamed, serr := seal.ReadBatch(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if serr != nil || !bytes.Equal(streamed.Raw, raw) || !bytes.Equal(b.Raw, raw) {
			t.Fatal("a batch and a stream of one batch differ")
		}
		if b.KeyHeader != nil {
			seal.OpenDataKey(b.KeyHeader, a.Private)
		}
		if b.Verify(id.Public()) == nil && b.Seq > 2 {
			t.Fatal("forged")
		}
	})
}

func FuzzKeyHeader(f *testing.F) {
	a := sealtest.New(f)
	k, err := seal.NewDataKey(a.Archive, seal.NewIdentity().ID(), seal.Messages, when)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Header)
	f.Fuzz(func(t *testing.T, h []byte) {
		if got, err := seal.OpenDataKey(h, a.Private); err == nil && got.ID == k.ID && !bytes.Equal(h, k.Header) {
			t.Fatal("another header opens as the same key")
		}
	})
}

func FuzzReceipt(f *testing.F) {
	a, id := sealtest.New(f), seal.NewIdentity()
	good := a.Receipt(f, chain(f, a, id, 1)[0])
	f.Add(good)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if _, err := seal.OpenReceipt(msg, a.ReceiptVerifier()); err == nil && !bytes.Equal(msg, good) {
			t.Fatal("another note is taken for the receipt")
		}
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add(seal.Compress([]byte(ndjson)))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if b, err := seal.Decompress(frame); err == nil && len(b) > seal.MaxPlain {
			t.Fatal("larger than the limit")
		}
	})
}

func FuzzArchiveKey(f *testing.F) {
	f.Add(sealtest.New(f).Key.String())
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := seal.ParseArchiveKey(s); err == nil && k.String() != s {
			t.Fatal("two spellings of one key")
		}
	})
}
