package sqlcipher

import "errors"

// What a View can end with, besides the function's own error. All are wrapped
// with the file's path and the cause; test with errors.Is. A file that is absent
// or may not be read gives an error that is fs.ErrNotExist or fs.ErrPermission.
var (
	// ErrMoved: the database changed in such a way that what was read may mix two
	// states. Nothing is wrong; discard what the function produced and run again,
	// see Retry.
	ErrMoved = errors.New("snapshot moved")

	// ErrReplaced: the path now names another file, or the file got another salt,
	// since the last View. The DB has forgotten all it knew of the old one; the
	// next View reads the new one. Cursors of the old file are meaningless.
	ErrReplaced = errors.New("database replaced")

	// ErrKeyMissing: Options.Keys had no candidate for this file's salt.
	ErrKeyMissing = errors.New("no key for this database")

	// ErrKeyRejected: no candidate verifies the MAC of page 1, and the snapshot had
	// not moved. Trying again with the same keys costs no further key derivation.
	ErrKeyRejected = errors.New("key rejected")

	// ErrCorrupt: a page fails its MAC, or is malformed for SQLite, again and again
	// while the snapshot stays the same.
	ErrCorrupt = errors.New("database corrupt")

	// ErrNotDatabase: a folder, a device, a file shorter than a page, or a file that
	// is not encrypted while Options.Params does not list Plain.
	ErrNotDatabase = errors.New("not an encrypted database")

	// ErrEmpty: the file has no bytes (yet). A client that is about to create its
	// database leaves such a file for a moment.
	ErrEmpty = errors.New("database empty")
)
