package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"tidemark/simulator/account"
	"tidemark/simulator/chat"
	"tidemark/simulator/writer"
)

// placing is the flags that name an account, shared by make and chat.
type placing struct {
	place   account.Place
	seed    uint64
	key     string
	keysOut string
	keyForm string
	oracle  string
	kinds   string

	officials int
}

func (p *placing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	p.place.Generation = account.V4
	f.Var(&p.place.Generation, "generation", "of the client: v4, w3 (3.x on Windows) or m3 (3.x on macOS)")
	f.StringVar(&p.place.Root, "root", "", "the folder of accounts: xwechat_files, WeChat Files; of m3 what holds com.tencent.xinWeChat (required)")
	f.StringVar(&p.place.Name, "account", "wxid_tide", "username of the account's owner")
	f.StringVar(&p.place.Suffix, "suffix", "1a2b", "what the account folder's name ends with, after an underscore")
	f.Uint64Var(&p.seed, "seed", 1, "decides people, texts and, unless --key is given, the key")
	f.StringVar(&p.key, "key", "", "account key, 64 hexadecimal digits (default: from the seed)")
	f.StringVar(&p.keysOut, "keys-out", "", "add the account's key to this file")
	f.StringVar(&p.keyForm, "key-form", keyFormAccount, "of --keys-out: account, one key for all files; files, one for each, by its salt")
	f.StringVar(&p.kinds, "kinds", kindsText, "of messages: text, or all, every one with its files; then --keys-out has the key of pictures too")
	f.IntVar(&p.officials, "officials", 0, "official accounts of a new account")
	f.StringVar(&p.oracle, "oracle", "", "append every committed change to this file")
	cmd.MarkFlagRequired("root")
}

// accountKey is the key given, or the seed's.
func (p *placing) accountKey() (writer.Key, error) {
	if p.key != "" {
		return writer.ParseKey(p.key)
	}
	of := fmt.Appendf(nil, "simulator account key %s %d", p.place.Name, p.seed)
	if p.place.Generation != account.V4 { // the client has a new key after an upgrade
		of = append(of, p.place.Generation...)
	}
	return writer.Key(sha256.Sum256(of)), nil
}

// What is said.
const (
	kindsText = "text"
	kindsAll  = "all"
)

// check holds the values of flags that are words.
func (p *placing) check() error {
	if p.keyForm != keyFormAccount && p.keyForm != keyFormFiles {
		return fmt.Errorf("parse --key-form: %q is neither account nor files", p.keyForm)
	}
	if p.kinds != kindsText && p.kinds != kindsAll {
		return fmt.Errorf("parse --kinds: %q is neither text nor all", p.kinds)
	}
	return nil
}

// The forms in which keys are handed out.
const (
	keyFormAccount = "account"
	keyFormFiles   = "files"
)

// keyFile is the agent's format of a file of keys.
type keyFile struct {
	V         int        `json:"v"`
	Accounts  []keyEntry `json:"accounts"`
	Databases []saltKey  `json:"databases,omitempty"`
	Images    []imageKey `json:"images,omitempty"`
}

// imageKey is the secrets of an account's pictures in 4.x.
type imageKey struct {
	Account string `json:"account"`
	Key     string `json:"key"` // 16 characters
	XOR     string `json:"xor"` // two hexadecimal digits
}

// saltKey is the key of the one file that begins with a salt.
type saltKey struct {
	Salt string `json:"salt"`
	Key  string `json:"key"`
}

type keyEntry struct {
	Account string `json:"account"`
	Key     string `json:"key"`
}

// writeKeys puts the account's key, or those of its files, into the --keys-out file,
// beside those of other accounts. The file appears whole or not at all.
func (p *placing) writeKeys(keys *writer.Keyring) error {
	if p.keysOut == "" {
		return nil
	}
	var kf keyFile
	b, err := os.ReadFile(p.keysOut)
	if err == nil {
		err = json.Unmarshal(b, &kf)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read keys file: %w", err)
	}
	kf.V = 1
	if p.keyForm == keyFormFiles {
		all := keys.Derived()
		kf.Databases = slices.DeleteFunc(kf.Databases, func(k saltKey) bool { _, ok := all[k.Salt]; return ok })
		for _, salt := range slices.Sorted(maps.Keys(all)) {
			kf.Databases = append(kf.Databases, saltKey{salt, all[salt].Hex()})
		}
	} else {
		// An account may have two keys, of an older client and a newer one.
		own := keyEntry{p.place.Name, keys.Key().Hex()}
		if !slices.Contains(kf.Accounts, own) {
			kf.Accounts = append(kf.Accounts, own)
		}
	}
	if p.kinds == kindsAll && p.place.Generation == account.V4 {
		k := chat.ImageKeys(p.place.Name, p.seed)
		kf.Images = slices.DeleteFunc(kf.Images, func(e imageKey) bool { return e.Account == p.place.Name })
		kf.Images = append(kf.Images, imageKey{p.place.Name, string(k.AES[:]), fmt.Sprintf("%02x", k.XOR)})
	}
	if kf.Accounts == nil {
		kf.Accounts = []keyEntry{}
	}
	if b, err = json.Marshal(kf); err != nil {
		return fmt.Errorf("write keys file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(p.keysOut), ".keys-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write keys file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), p.keysOut)
	}
	if err != nil {
		return fmt.Errorf("write keys file: %w", err)
	}
	return nil
}

// population makes a new account's people from the seed.
func (p *placing) population(people, rooms int) func() ([]account.Person, []account.Room) {
	return func() ([]account.Person, []account.Room) {
		r := chat.People(p.seed)
		ps, rs := account.Population(r, p.place.Name, people, rooms)
		return append(ps, account.Officials(r, p.officials)...), rs
	}
}
