package sqlcipher

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The key derivation and the page MAC give what an independent implementation gave.
func TestGoldenVectors(t *testing.T) {
	var key [keySize]byte
	var salt [saltSize]byte
	for i := range key {
		key[i] = byte(i)
	}
	for i := range salt {
		salt[i] = byte(0x40 + i)
	}
	for _, tt := range []struct {
		params              Params
		derived, mac        string
		macWhenRaw, pageMAC string
		macInput            int
	}{
		{V3,
			"8cba81fbec199a243eb0168bb96f982e7a6eb1b2064e7ff79f71d35c12e0c677",
			"13f8bbf3013170a2a14d024d60949e157a57a2880a84faef7f8db7c996497037",
			"588abaa3721f26f9436ae72f07faaf6ac5189bca365498eac712fa392cdaa554",
			"485c4d562662ff13e570882ec1af09a7331580c5", 4048},
		{V4,
			"3cc3a5d878a02ecc3533be73ffbfbcf57a00a8a34a5c36aec43c6851ba08db80",
			"0481bbc21349852260b73d54a2d3422f5ce2588f0d31e51e27b714e2cd69a616",
			"0bfb8f0e9dcecf369ffef656d7c2bac148759b991fb36be5ce3b02f3d0db64cd",
			"11f5860986748bde7082e94170aa68f06984fcf4e7164dfae0a12bb5ee7064da2671985d20431fa52e74596a7b89fedb257acae297ba017739acb0ed203cfc56", 4016},
	} {
		t.Run(tt.params.Name, func(t *testing.T) {
			pk, err := derivePageKeys(key[:], salt[:], tt.params.Hash, tt.params.Iterations)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(pk.enc[:]); got != tt.derived {
				t.Errorf("derived key %s, want %s", got, tt.derived)
			}
			if got := hex.EncodeToString(pk.mac[:]); got != tt.mac {
				t.Errorf("mac key %s, want %s", got, tt.mac)
			}
			raw, err := derivePageKeys(key[:], salt[:], tt.params.Hash, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(raw.mac[:]); got != tt.macWhenRaw {
				t.Errorf("mac key of a page key %s, want %s", got, tt.macWhenRaw)
			}

			page := make([]byte, tt.params.PageSize)
			for i := range page {
				page[i] = byte(7 * i)
			}
			copy(page, salt[:])
			body := tt.params.PageSize - tt.params.Reserve
			if got := body + ivSize - saltSize; got != tt.macInput {
				t.Errorf("mac input has %d bytes, want %d", got, tt.macInput)
			}
			mac, _ := hex.DecodeString(tt.pageMAC)
			copy(page[body+ivSize:], mac)
			dec, err := newDecryptor(&codec{params: tt.params, keys: pk})
			if err != nil {
				t.Fatal(err)
			}
			if err := dec.verify(1, page); err != nil {
				t.Errorf("page 1: %v", err)
			}
			if err := dec.verify(2, page); err == nil {
				t.Error("the same page verifies as page 2")
			}
			for _, i := range []int{saltSize, body - 1, body, body + ivSize, body + ivSize + len(mac) - 1} {
				page[i] ^= 1
				if err := dec.verify(1, page); err == nil {
					t.Errorf("page verifies with byte %d changed", i)
				}
				page[i] ^= 1
			}
		})
	}
}

// The WAL checksum is SQLite's, in both byte orders, worked out here word by word
// as the file format's description tells it.
func TestChecksum(t *testing.T) {
	data := make([]byte, 4096+8)
	for i := range data {
		data[i] = byte(i*31 + i>>3)
	}
	for _, big := range []bool{false, true} {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		a, b := uint32(1), uint32(2)
		for i := 0; i < len(data); i += 8 {
			a += order.Uint32(data[i:]) + b
			b += order.Uint32(data[i+4:]) + a
		}
		if got := checksum(big, [2]uint32{1, 2}, data); got != [2]uint32{a, b} {
			t.Errorf("big=%t: %x, want %x %x", big, got, a, b)
		}
	}
}

// What administrators write is read, and what is not a key is refused without
// being repeated.
func TestParseKey(t *testing.T) {
	k32 := strings.Repeat("0f", 32)
	salt := strings.Repeat("a0", 16)
	for _, tt := range []struct {
		text, want string
		salt       bool
	}{
		{k32, "ok", false},
		{" " + strings.ToUpper(k32) + "\n", "ok", false},
		{"x'" + k32 + "'", "ok", false},
		{"x'" + k32 + salt + "'", "ok", true},
		{"X'" + k32 + salt + "'", "ok", true},
		{k32 + salt, "ok", true},
		{"", "", false},
		{k32[1:], "", false},
		{k32 + "00", "", false},
		{"x'" + k32, "", false},
		{strings.Repeat("zy", 32), "", false},
		{"x''", "", false},
	} {
		k, err := ParseKey(tt.text)
		if (err == nil) != (tt.want == "ok") {
			t.Errorf("ParseKey of %d characters: %v", len(tt.text), err)
		}
		if err != nil {
			if !k.IsZero() {
				t.Error("a key came with an error")
			}
			if text := strings.TrimSpace(tt.text); text != "" && strings.Contains(err.Error(), text[:2]) && text[:2] == "zy" {
				t.Error("error repeats the text")
			}
			continue
		}
		if _, ok := k.Salt(); ok != tt.salt {
			t.Errorf("ParseKey of %d characters: salt %t, want %t", len(tt.text), ok, tt.salt)
		}
		if want, _ := NewKey(bytes.Repeat([]byte{0x0f}, 32)); !tt.salt && !k.Equal(want) {
			t.Error("key is not the one written")
		}
	}
}

// No way of printing, logging or encoding shows a key, not even from inside
// another struct.
func TestKeyIsNeverShown(t *testing.T) {
	k, err := ParseKey(strings.Repeat("ab", 48))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Public  Key
		private Key
		list    []Key
		DB      *DB
		db      *DB
		cache   *KeyCache
	}
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x)")
	src.mirror()
	cache := new(KeyCache)
	raw, err := ParseKey(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, src.path, Options{Keys: give(raw, testKey(t)), Derived: cache})
	mustRows(t, db, "SELECT x FROM t")
	h := holder{k, k, []Key{k}, db, db, cache}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%c", "%U", "%T"} {
		fmt.Fprintf(&out, strings.Repeat(verb+" ", 5)+"\n", k, h, &h, db, cache)
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("m", "key", k, "holder", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "key", k, "holder", h)
	if err := json.NewEncoder(&out).Encode(map[string]any{"a": k, "b": h}); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"abab", "ABAB", "171 171", "{171", "10101011 10101011", "253 253", "U+00AB", fmt.Sprint(testKeyBytes[:4])[1:10]} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output contains %q", leak)
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Error("nothing says that a key was left out")
	}
}

// Account key and page key are told apart by page 1's MAC alone, a key for another
// salt is not tried, and a wrong key is found out once: trying it again derives nothing.
func TestKeysAreToldApartByMAC(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.seal = newSealer(t, V4, testKeyBytes[:], V4.Iterations) // the key is an account key now
	src.mirror()

	wrong, _ := NewKey(bytes.Repeat([]byte{9}, keySize))
	pageKey, _ := NewKey(src.seal.keys.enc[:])
	named := func(salt [saltSize]byte, key []byte) Key {
		k, err := ParseKey(fmt.Sprintf("x'%x%x'", key, salt))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tt := range []struct {
		name string
		keys []Key
		want error
		runs uint64
	}{
		{"account key", []Key{testKey(t)}, nil, 1},
		{"account key after a wrong one", []Key{wrong, testKey(t)}, nil, 2},
		{"page key needs no derivation", []Key{wrong, pageKey}, nil, 0},
		{"page key naming this file", []Key{named(testSalt, src.seal.keys.enc[:])}, nil, 0},
		{"page key naming another file", []Key{named([saltSize]byte{1}, src.seal.keys.enc[:])}, ErrKeyMissing, 0},
		{"account key passed off as a page key", []Key{named(testSalt, testKeyBytes[:])}, ErrKeyRejected, 0},
		{"wrong key", []Key{wrong}, ErrKeyRejected, 1},
		{"no key", nil, ErrKeyMissing, 0},
		{"the zero key", []Key{{}}, ErrKeyMissing, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := new(KeyCache)
			db := openDB(t, src.path, Options{Keys: give(tt.keys...), Derived: cache})
			for range 3 {
				_, err := viewRows(db, "SELECT x FROM t")
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				if err := db.Check(t.Context()); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Fatalf("check: got %v, want %v", err, tt.want)
				}
			}
			if got := cache.Derivations(); got != tt.runs {
				t.Errorf("%d key derivations, want %d", got, tt.runs)
			}
		})
	}
}

// A key that is provided later opens the database without anything being reopened.
func TestKeyProvidedLater(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.mirror()
	var keys []Key
	db := openDB(t, src.path, Options{Keys: func([16]byte) []Key { return keys }})
	if _, err := viewRows(db, "SELECT x FROM t"); !errors.Is(err, ErrKeyMissing) {
		t.Fatalf("got %v, want ErrKeyMissing", err)
	}
	keys = []Key{testKey(t)}
	if got := mustRows(t, db, "SELECT x FROM t"); len(got) != 1 {
		t.Fatalf("%d rows, want 1", len(got))
	}
}

// The sealer of the tests is itself checked: constant-time comparison aside, MAC
// and cipher are the standard library's, and a page comes back as it was.
func TestSealerRoundTrip(t *testing.T) {
	for _, p := range []Params{V4, V3, M3} {
		s := newSealer(t, p, testKeyBytes[:], 0)
		dec, err := newDecryptor(&codec{params: p, keys: s.keys})
		if err != nil {
			t.Fatal(err)
		}
		for _, pgno := range []uint32{1, 2, 1 << 20} {
			plain := bytes.Repeat([]byte("0123456789abcdef"), p.PageSize/16)
			if pgno == 1 {
				copy(plain, magic)
			}
			got := s.page(pgno, plain)
			if err := dec.open(pgno, got); err != nil {
				t.Fatalf("%s page %d: %v", p.Name, pgno, err)
			}
			if body := p.PageSize - p.Reserve; !hmac.Equal(got[:body], plain[:body]) {
				t.Errorf("%s page %d differs", p.Name, pgno)
			}
		}
	}
}
