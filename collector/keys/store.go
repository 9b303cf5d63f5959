package keys

import (
	"errors"
	"fmt"
	"slices"

	"tidemark/internal/durable"
)

// ErrNotFound reports that the store has no such key.
var ErrNotFound = errors.New("no such key")

// Store is the key file in the agent's state folder: a [File] that this program
// also writes. A missing file is an empty store. Each change replaces the file in
// one step, with mode 0600. Two processes that change it at the same time can lose
// one of the changes, never the file.
type Store struct{ File }

// NewStore names the store's file.
func NewStore(path string) *Store { return &Store{newFile(path, true)} }

// Name says where the keys come from, for listings.
func (s *Store) Name() string { return "added on this device" }

// List names what the store has keys for.
func (s *Store) List() ([]Listed, error) {
	set, err := s.load()
	if err != nil {
		return nil, err
	}
	return set.list(s.Name()), nil
}

// AddAccount keeps a key, in hex, for all databases of an account, or, when the
// hex names a salt too, for that database of the account. A key the store has
// already is kept once.
func (s *Store) AddAccount(account, text string) error {
	e, err := accountEntry(account, text)
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	return s.add(e)
}

// AddDatabase keeps the page key of the database with the salt, both in hex.
func (s *Store) AddDatabase(salt, text string) error {
	e, err := databaseEntry(salt, text)
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	return s.add(e)
}

func (s *Store) add(e entry) error {
	old, err := s.load()
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	for _, o := range old.entries {
		if o.account == e.account && o.salt == e.salt && o.key.Equal(e.key) {
			return nil
		}
	}
	return s.replace(&set{append(slices.Clone(old.entries), e), old.images})
}

// AddImage keeps a key of an account's images, as ParseImageKey reads it with its XOR
// byte, which may be "". A key the store has already is kept once.
func (s *Store) AddImage(account, text, xor string) error {
	e, err := newImageEntry(account, text, xor)
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	old, err := s.load()
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	for _, o := range old.images {
		if o.account == e.account && o.key.Equal(e.key) {
			return nil
		}
	}
	return s.replace(&set{old.entries, append(slices.Clone(old.images), e)})
}

// RemoveImages forgets all keys of an account's images.
func (s *Store) RemoveImages(account string) error {
	return s.remove(func(entry) bool { return false }, func(e imageEntry) bool { return e.account == account })
}

// RemoveAccount forgets all keys of an account's databases, not those of its images.
func (s *Store) RemoveAccount(account string) error {
	return s.remove(func(e entry) bool { return e.account == account && account != "" }, noImage)
}

// RemoveDatabase forgets the key of the database with the salt.
func (s *Store) RemoveDatabase(salt string) error {
	salt, err := parseSalt(salt)
	if err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	return s.remove(func(e entry) bool { return e.salt == salt }, noImage)
}

func noImage(imageEntry) bool { return false }

func (s *Store) remove(match func(entry) bool, matchImage func(imageEntry) bool) error {
	old, err := s.load()
	if err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	kept := &set{slices.DeleteFunc(slices.Clone(old.entries), match), slices.DeleteFunc(slices.Clone(old.images), matchImage)}
	if len(kept.entries) == len(old.entries) && len(kept.images) == len(old.images) {
		return fmt.Errorf("remove key: %w", ErrNotFound)
	}
	return s.replace(kept)
}

func (s *Store) replace(with *set) error {
	data, err := with.encode()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(s.path, data, 0o600); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info = nil // read again, whatever the clock's resolution says
	return nil
}
