package sqlcipher

import (
	"crypto"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"
)

// maxCached bounds a KeyCache: far more than files times keys on one device.
const maxCached = 4096

// KeyCache remembers page keys derived from account keys, by key, salt and
// parameters, in memory only. A key that turned out wrong is remembered just the
// same, so trying it again costs one MAC. Several DBs may share one; its methods
// may be called concurrently, and two who need the same key derive it once.
// The zero KeyCache is ready for use.
type KeyCache struct {
	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry
	runs    atomic.Uint64
}

type cacheKey struct {
	key        [sha256.Size]byte // digest of the key
	salt       [saltSize]byte
	hash       crypto.Hash
	iterations int
}

type cacheEntry struct {
	once sync.Once
	keys pageKeys
	err  error
}

// Derivations is how many key derivations this cache has run (each some 0.1 s of
// one core), for tests and metrics.
func (c *KeyCache) Derivations() uint64 { return c.runs.Load() }

// Forget drops what was derived for one file's salt.
func (c *KeyCache) Forget(salt [saltSize]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.entries {
		if k.salt == salt {
			delete(c.entries, k)
		}
	}
}

// Format prints the type, so that no verb shows a key.
func (c *KeyCache) Format(f fmt.State, _ rune) { fmt.Fprint(f, "sqlcipher.KeyCache") }

// derive gives the page keys for an account key (iterations > 0) or for a key that
// is the page key already (iterations 0).
func (c *KeyCache) derive(key, salt []byte, h crypto.Hash, iterations int) (pageKeys, error) {
	k := cacheKey{sha256.Sum256(key), [saltSize]byte(salt), h, iterations}
	c.mu.Lock()
	e := c.entries[k]
	if e == nil {
		if c.entries == nil {
			c.entries = make(map[cacheKey]*cacheEntry)
		}
		for old := range c.entries {
			if len(c.entries) < maxCached {
				break
			}
			delete(c.entries, old)
		}
		e = new(cacheEntry)
		c.entries[k] = e
	}
	c.mu.Unlock()
	e.once.Do(func() {
		if iterations > 0 {
			c.runs.Add(1)
		}
		e.keys, e.err = derivePageKeys(key, salt, h, iterations)
	})
	return e.keys, e.err
}

// pageKeys is what a page is opened with.
type pageKeys struct {
	enc [keySize]byte // AES-256 key
	mac [keySize]byte // HMAC key
}

func derivePageKeys(key, salt []byte, h crypto.Hash, iterations int) (pk pageKeys, err error) {
	newHash, err := newHashFunc(h)
	if err != nil {
		return pk, err
	}
	enc := key
	if iterations > 0 {
		if enc, err = pbkdf2.Key(newHash, string(key), salt, iterations, keySize); err != nil {
			return pk, fmt.Errorf("derive page key: %w", err)
		}
	}
	macSalt := make([]byte, len(salt))
	for i, b := range salt {
		macSalt[i] = b ^ macSaltMask
	}
	mac, err := pbkdf2.Key(newHash, string(enc), macSalt, macIterations, keySize)
	if err != nil {
		return pk, fmt.Errorf("derive mac key: %w", err)
	}
	return pageKeys{[keySize]byte(enc), [keySize]byte(mac)}, nil
}

func newHashFunc(h crypto.Hash) (func() hash.Hash, error) {
	switch h {
	case crypto.SHA1:
		return sha1.New, nil
	case crypto.SHA512:
		return sha512.New, nil
	}
	return nil, fmt.Errorf("hash %v is not one that SQLCipher uses", h)
}
