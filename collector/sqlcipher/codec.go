package sqlcipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// errMAC is a page that does not verify: torn, stale, damaged, or another key's.
var errMAC = errors.New("page MAC does not verify")

// codec is how one file's pages are opened: parameters, and keys unless plain.
// It is immutable.
type codec struct {
	params Params
	keys   pageKeys
	plain  bool
}

// decryptor opens pages of one codec and allocates nothing per page. It belongs to
// one goroutine at a time.
type decryptor struct {
	codec *codec
	mac   hash.Hash
	block cipher.Block
	cbc   cipher.BlockMode
	setIV func([]byte) // nil when the standard library's CBC mode cannot be reused
	pgno  [4]byte
	sum   [64]byte
}

func newDecryptor(c *codec) (*decryptor, error) {
	d := &decryptor{codec: c}
	if c.plain {
		return d, nil
	}
	newHash, err := newHashFunc(c.params.Hash)
	if err != nil {
		return nil, err
	}
	if d.block, err = aes.NewCipher(c.keys.enc[:]); err != nil {
		return nil, fmt.Errorf("prepare page cipher: %w", err)
	}
	d.mac = hmac.New(newHash, c.keys.mac[:])
	d.cbc = cipher.NewCBCDecrypter(d.block, make([]byte, ivSize))
	if s, ok := d.cbc.(interface{ SetIV([]byte) }); ok {
		d.setIV = s.SetIV
	}
	return d, nil
}

// verify checks the MAC of page number pgno as it is stored.
//
//	[16-byte salt, page 1 only][ciphertext][IV 16][MAC][filler]
//
// The MAC covers ciphertext, IV and the page number in little-endian; neither the
// salt nor the filler.
func (d *decryptor) verify(pgno uint32, page []byte) error {
	p := &d.codec.params
	body := p.PageSize - p.Reserve
	d.mac.Reset()
	d.mac.Write(page[clearBytes(pgno) : body+ivSize])
	binary.LittleEndian.PutUint32(d.pgno[:], pgno)
	d.mac.Write(d.pgno[:])
	sum := d.mac.Sum(d.sum[:0])
	if !hmac.Equal(sum, page[body+ivSize:body+ivSize+len(sum)]) {
		return errMAC
	}
	return nil
}

// open verifies and decrypts a page in place. The reserve stays as it is: SQLite
// finds its size in byte 20 of page 1, which need not be the cipher's.
// After errMAC the page is unchanged.
func (d *decryptor) open(pgno uint32, page []byte) error {
	if d.codec.plain {
		return nil
	}
	if err := d.verify(pgno, page); err != nil {
		return err
	}
	p := &d.codec.params
	body := p.PageSize - p.Reserve
	iv := page[body : body+ivSize]
	if d.setIV != nil {
		d.setIV(iv)
	} else {
		d.cbc = cipher.NewCBCDecrypter(d.block, iv)
	}
	text := page[clearBytes(pgno):body]
	d.cbc.CryptBlocks(text, text)
	if pgno == 1 {
		copy(page, magic)
	}
	return nil
}

// clearBytes is how many bytes of a page precede its ciphertext.
func clearBytes(pgno uint32) int {
	if pgno == 1 {
		return saltSize
	}
	return 0
}

// allZero reports a page never written, which has no MAC.
func allZero(page []byte) bool {
	for _, b := range page {
		if b != 0 {
			return false
		}
	}
	return true
}
