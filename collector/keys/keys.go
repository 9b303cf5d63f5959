// Package keys is where the keys of databases and of images come from: they are given
// by the organisation, never looked for. Nothing here reads another program's memory,
// registry or files.
//
// A [Ring] asks its sources in the order of the configuration and implements
// collector.Keys. The sources are:
//
//   - [Store], the file keys.json in the agent's state folder, written by
//     "tidemark keys add";
//   - [File], a file of the same format that a device management delivers;
//   - [Exec], a credential helper program;
//   - [Sealed], a key file that came sealed to this device from its archive.
//
// # The file
//
// A JSON object of at most 1 MiB. Keys are hex as sqlcipher.ParseKey reads them:
// 64 digits, an account key that opens every database of the account or the page
// key of one; a salt names the one database whose page key it is.
//
//	{"v": 1,
//	 "accounts":  [{"account": "wxid_…", "key": "<64 hex>"}],
//	 "databases": [{"salt": "<32 hex>", "key": "<64 hex>"}]}
//
// Unknown members are refused, so that a mistyped name is not silently no key. An
// account may have several keys; all are tried.
//
// # The helper
//
// The helper is started once per question with a JSON object on standard input and
// answers with one on standard output, then exits 0:
//
//	in   {"v": 1, "account": "wxid_…"}
//	out  {"v": 1, "keys": ["<64 hex>", "<96 hex, key and salt>"], "image_keys": ["<16 or 32 characters>"]}
//
// image_keys may be left out. An empty list means that it has no key. Anything else
// (another exit code, more than 1 MiB, no end within the time limit, another version)
// is a failed question. What it writes to standard error is thrown away, for it might
// hold a key. Answers are remembered in memory, so the helper does not run at each pass
// of the collector: two minutes when there was a key, a quarter of one when there was
// none, so that a key that comes late is soon taken, and a minute after a failure.
//
// # Secrecy
//
// No error, log line or listing holds a key, a part of one or a digest of one, nor
// text of a file or an answer that could not be understood.
package keys

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"tidemark/collector/sqlcipher"
)

// maxInput bounds a key file and a helper's answer.
const maxInput = 1 << 20

// ErrFormat reports a key file or answer that is not of the documented form. The
// errors that wrap it say where, never what.
var ErrFormat = errors.New("not of the key format")

// secret is a key's text, behind a pointer, so that fmt cannot reach it through a
// struct that holds it. Only encode looks.
type secret struct{ text *string }

func (secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// entry is one key: for an account, or for the database with a salt.
type entry struct {
	account string
	salt    string // 32 lower-case hex digits
	secret  secret
	key     sqlcipher.Key
}

// imageEntry is one key of an account's images.
type imageEntry struct {
	account string
	secret  secret
	xor     string // as it was given, or ""
	key     ImageKey
}

// set is the content of a key file. It is immutable once parsed.
type set struct {
	entries []entry
	images  []imageEntry
}

// names reports whether a key given for an account is for the one asked about. Either
// may be called by its username or by the hash that macOS 3.x makes of it. That this is
// the MD5 is inferred [I]; were it not, nothing would match.
func names(given, asked string) bool {
	return given == asked || isHashOf(asked, given) || isHashOf(given, asked)
}

func isHashOf(hash, username string) bool {
	if len(hash) != 2*md5.Size {
		return false
	}
	sum := md5.Sum([]byte(username))
	return hex.EncodeToString(sum[:]) == hash
}

// imagesForAccount gives the keys of the account's images.
func (s *set) imagesForAccount(account string) (out []ImageKey) {
	for _, e := range s.images {
		if names(e.account, account) {
			out = append(out, e.key)
		}
	}
	return out
}

// forAccount gives the keys that may open the account's databases: its own, then
// those of single databases, which say by their salt what they open.
func (s *set) forAccount(account string) []sqlcipher.Key {
	var own, single []sqlcipher.Key
	for _, e := range s.entries {
		switch {
		case e.salt != "":
			single = append(single, e.key)
		case names(e.account, account):
			own = append(own, e.key)
		}
	}
	return append(own, single...)
}

// The file's form. Keys are plain text here and nowhere else.
type fileForm struct {
	V         int            `json:"v"`
	Accounts  []accountForm  `json:"accounts"`
	Databases []databaseForm `json:"databases"`
	Images    []imageForm    `json:"images,omitempty"`
}

type accountForm struct {
	Account string `json:"account"`
	Key     string `json:"key"`
}

type databaseForm struct {
	Salt string `json:"salt"`
	Key  string `json:"key"`
}

type imageForm struct {
	Account string `json:"account"`
	Key     string `json:"key"`
	XOR     string `json:"xor,omitempty"`
}

// parse reads a key file.
func parse(data []byte) (*set, error) {
	var form fileForm
	if err := decodeStrict(data, &form); err != nil {
		return nil, err
	}
	if form.V != 1 {
		return nil, fmt.Errorf("version %d, this program knows 1: %w", form.V, ErrFormat)
	}
	s := new(set)
	for i, a := range form.Accounts {
		e, err := accountEntry(a.Account, a.Key)
		if err != nil {
			return nil, fmt.Errorf("accounts[%d]: %w", i, err)
		}
		s.entries = append(s.entries, e)
	}
	for i, d := range form.Databases {
		e, err := databaseEntry(d.Salt, d.Key)
		if err != nil {
			return nil, fmt.Errorf("databases[%d]: %w", i, err)
		}
		s.entries = append(s.entries, e)
	}
	for i, f := range form.Images {
		e, err := newImageEntry(f.Account, f.Key, f.XOR)
		if err != nil {
			return nil, fmt.Errorf("images[%d]: %w", i, err)
		}
		s.images = append(s.images, e)
	}
	return s, nil
}

// decodeStrict reads one JSON value. Its errors quote nothing of the input, as
// those of encoding/json do.
func decodeStrict(data []byte, into any) error {
	if len(data) > maxInput {
		return fmt.Errorf("more than %d bytes: %w", maxInput, ErrFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("at byte %d: not JSON of the documented form: %w", dec.InputOffset(), ErrFormat)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("at byte %d: more than one JSON value: %w", dec.InputOffset(), ErrFormat)
	}
	return nil
}

func accountEntry(account, text string) (entry, error) {
	if err := checkAccount(account); err != nil {
		return entry{}, err
	}
	k, err := sqlcipher.ParseKey(text)
	if err != nil {
		return entry{}, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	if salt, ok := k.Salt(); ok { // a key with its salt is a database's, wherever it stands
		return entry{account: account, salt: hex.EncodeToString(salt[:]), secret: secret{&text}, key: k}, nil
	}
	return entry{account: account, secret: secret{&text}, key: k}, nil
}

func databaseEntry(salt, text string) (entry, error) {
	salt, err := parseSalt(salt)
	if err != nil {
		return entry{}, err
	}
	k, err := sqlcipher.ParseKey(text)
	if err != nil {
		return entry{}, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	if named, ok := k.Salt(); ok {
		if hex.EncodeToString(named[:]) != salt {
			return entry{}, fmt.Errorf("key names another salt: %w", ErrFormat)
		}
	} else if k, err = sqlcipher.ParseKey(plainHex(text) + salt); err != nil {
		return entry{}, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	return entry{salt: salt, secret: secret{&text}, key: k}, nil
}

func newImageEntry(account, text, xor string) (imageEntry, error) {
	if err := checkAccount(account); err != nil {
		return imageEntry{}, err
	}
	k, err := ParseImageKey(text, xor)
	if err != nil {
		return imageEntry{}, err
	}
	text = strings.TrimSpace(text)
	return imageEntry{account: account, secret: secret{&text}, xor: xor, key: k}, nil
}

// plainHex takes SQLCipher's x'…' off a key that ParseKey accepted.
func plainHex(text string) string {
	s := strings.TrimSpace(text)
	if len(s) > 3 && s[1] == '\'' {
		s = s[2 : len(s)-1]
	}
	return s
}

func parseSalt(salt string) (string, error) {
	if b, err := hex.DecodeString(salt); err != nil || len(b) != 16 {
		return "", fmt.Errorf("salt must be 32 hex digits: %w", ErrFormat)
	}
	return strings.ToLower(salt), nil
}

func checkAccount(account string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }
	if account == "" || len(account) > 256 || strings.ContainsFunc(account, bad) {
		return fmt.Errorf("account must be a WeChat username without spaces, at most 256 bytes: %w", ErrFormat)
	}
	return nil
}

// encode writes the file that parse reads.
func (s *set) encode() ([]byte, error) {
	form := fileForm{V: 1, Accounts: []accountForm{}, Databases: []databaseForm{}}
	for _, e := range s.entries {
		if e.account != "" {
			form.Accounts = append(form.Accounts, accountForm{e.account, *e.secret.text})
		} else {
			form.Databases = append(form.Databases, databaseForm{e.salt, *e.secret.text})
		}
	}
	for _, e := range s.images {
		form.Images = append(form.Images, imageForm{e.account, *e.secret.text, e.xor})
	}
	b, err := json.MarshalIndent(form, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keys: %w", err)
	}
	return append(b, '\n'), nil
}

// What a key is for.
const (
	KindAccount  = "account"  // all databases of an account
	KindDatabase = "database" // the one database with a salt
	KindImage    = "image"    // the images of an account
)

// Listed says that there is a key and where from, and nothing about the key.
type Listed struct {
	Kind    string `json:"kind,omitempty"`    // one of the Kind constants; "" for a source that cannot list
	Account string `json:"account,omitempty"` // key of an account
	Salt    string `json:"salt,omitempty"`    // key of the one database with this salt, hex
	Source  string `json:"source"`            // where from
}

func (s *set) list(source string) []Listed {
	var out []Listed
	add := func(l Listed) {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	for _, e := range s.entries {
		kind := KindAccount
		if e.salt != "" {
			kind = KindDatabase
		}
		add(Listed{Kind: kind, Account: e.account, Salt: e.salt, Source: source})
	}
	for _, e := range s.images {
		add(Listed{Kind: KindImage, Account: e.account, Source: source})
	}
	return out
}
