package sqlcipher

import (
	"crypto"
	"fmt"
	"math/bits"
)

// Params is a cipher parameter set: how one generation of a client encrypts its
// pages. Values are comparable and never written to.
type Params struct {
	Name       string      // for messages, such as "v4"
	PageSize   int         // bytes of one page, reserve included
	Reserve    int         // bytes at the end of a page: IV, MAC, filler
	Hash       crypto.Hash // of the key derivation and of the page MAC; SHA1 or SHA512
	Iterations int         // PBKDF2 rounds from account key to page key; 0 means keys are always used as they are

	// OldSHM says that the client's SQLite may be too old to note in -shm that a
	// checkpoint has begun (nBackfillAttempted), so that only frames decide whether
	// a snapshot moved. It costs a needless ErrMoved now and then, never a wrong row.
	OldSHM bool
}

// The parameter sets known. V4 serves the 4.x clients of every system.
var (
	V4 = Params{Name: "v4", PageSize: 4096, Reserve: 80, Hash: crypto.SHA512, Iterations: 256000}
	V3 = Params{Name: "v3", PageSize: 4096, Reserve: 48, Hash: crypto.SHA1, Iterations: 64000, OldSHM: true}
	M3 = Params{Name: "m3", PageSize: 1024, Reserve: 48, Hash: crypto.SHA1, OldSHM: true}

	// M3Derived is what some files of the macOS 3.x client have instead, under the
	// account key: the small pages with the key derivation of V3 [C].
	M3Derived = Params{Name: "m3-derived", PageSize: 1024, Reserve: 48, Hash: crypto.SHA1, Iterations: 64000, OldSHM: true}

	// Plain is an ordinary SQLite file, its page size taken from its header. Listed
	// in Options.Params it allows files that are not encrypted; without MACs a
	// damaged page is noticed only if SQLite finds it malformed.
	Plain = Params{Name: "plain"}
)

// ParamsFor gives the parameter sets to try on the files of a client, in order, for
// Options.Params. Layout is the text of a discover.Layout: "w3", "m3" or "v4". The
// macOS 3.x client mixes page sizes of 1024 and 4096, keys used as they are and keys
// derived, and some files in clear [A for 1024 as it is, C for the rest], so all are
// probed there: V3 stands for 4096 in both forms of the key. Any other layout is nil.
func ParamsFor(layout string) []Params {
	switch layout {
	case "w3":
		return []Params{V3}
	case "m3":
		return []Params{M3, M3Derived, V3, Plain}
	case "v4":
		return []Params{V4}
	}
	return nil
}

const (
	saltSize = 16 // clear bytes at the start of the file
	ivSize   = 16 // AES block
	keySize  = 32 // AES-256 key and MAC key alike

	macSaltMask   = 0x3a // the MAC key's salt is the file's with every byte XOR this
	macIterations = 2

	minPageSize = 512
	maxPageSize = 65536
)

// magic is what every plain SQLite file begins with, and what the salt replaced.
const magic = "SQLite format 3\x00"

// lockByte is the offset that SQLite locks on; the page that holds it is never used.
const lockByte = 1 << 30

// validate holds every rule that the page code relies on.
func (p Params) validate() error {
	if p == Plain {
		return nil
	}
	if _, err := newHashFunc(p.Hash); err != nil {
		return fmt.Errorf("parameters %s: %w", p.Name, err)
	}
	if p.PageSize < minPageSize || p.PageSize > maxPageSize || bits.OnesCount(uint(p.PageSize)) != 1 {
		return fmt.Errorf("parameters %s: page size %d is not a power of two from %d to %d", p.Name, p.PageSize, minPageSize, maxPageSize)
	}
	if p.Reserve < ivSize+p.Hash.Size() || p.Reserve%ivSize != 0 || p.PageSize-p.Reserve < minPageSize/2 {
		return fmt.Errorf("parameters %s: reserve %d does not fit", p.Name, p.Reserve)
	}
	if p.Iterations < 0 {
		return fmt.Errorf("parameters %s: %d iterations", p.Name, p.Iterations)
	}
	return nil
}
