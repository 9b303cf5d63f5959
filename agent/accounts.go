package agent

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
)

// What an account's key can be.
const (
	KeyOpens    = "opens"    // every database of the account opens
	KeyPartly   = "partly"   // some do
	KeyRejected = "rejected" // there are keys, and none opens anything
	KeyMissing  = "missing"  // no source has one
	KeyUnknown  = "unknown"  // a source, or the databases, could not be read
)

// AccountInfo is an account on this device and whether it has keys.
type AccountInfo struct {
	Account    string         `json:"account"`
	Generation string         `json:"generation"`
	App        string         `json:"app"`
	OS         string         `json:"os"`
	Path       string         `json:"path"`
	InScope    bool           `json:"in_scope"`
	Key        string         `json:"key"`             // one of the Key constants
	ImageKey   bool           `json:"image_key"`       // a key of its images is given; only an image can tell whether it is right
	Cause      string         `json:"cause,omitempty"` // of KeyUnknown
	Databases  []DatabaseInfo `json:"databases"`
}

// DatabaseInfo says whether a database opens with the keys there are.
type DatabaseInfo struct {
	File  string `json:"file"` // relative to the account's database folder
	Opens bool   `json:"opens"`
	Cause string `json:"cause,omitempty"`
}

// Accounts finds the WeChat accounts on this device and tries their keys. It works
// beside a running agent and writes nothing. Problems are the places that could not
// be searched.
func Accounts(ctx context.Context, c *config.Config) ([]AccountInfo, []discover.Problem, error) {
	ring, err := KeyRing(c)
	if err != nil {
		return nil, nil, err
	}
	found, problems := discover.Find(c.Sources)
	derived := new(sqlcipher.KeyCache)
	infos := []AccountInfo{}
	for _, f := range found {
		info := AccountInfo{
			Account: f.ID, Generation: f.Generation, App: f.App, OS: f.OS, Path: f.Path, InScope: c.Scope.Accounts.In(f.ID),
			Databases: []DatabaseInfo{},
		}
		given, err := collector.KeysFor(ctx, ring, f.ID, f.Alternative)
		images, _ := ring.ImageKeys(ctx, f.ID) // a source that fails does so for the other keys too
		if len(images) == 0 && f.Alternative != "" {
			images, _ = ring.ImageKeys(ctx, f.Alternative)
		}
		info.ImageKey = len(images) > 0
		if err != nil {
			info.Key, info.Cause = KeyUnknown, err.Error()
		} else {
			checkAccount(ctx, f, &info, given, derived)
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		infos = append(infos, info)
	}
	return infos, problems, nil
}

// AccountNames lists the accounts on this device and those of the key store, for
// the shell to complete. What cannot be read is left out.
func AccountNames(c *config.Config) []string {
	var names []string
	found, _ := discover.Find(c.Sources)
	for _, f := range found {
		names = append(names, f.ID)
	}
	listed, _ := KeyStore(c).List()
	for _, l := range listed {
		if l.Account != "" {
			names = append(names, l.Account)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkAccount tries the keys on page 1 of each database. Derived keys are shared,
// for a derivation costs a tenth of a second of one core.
func checkAccount(ctx context.Context, account discover.Account, info *AccountInfo, given []sqlcipher.Key, derived *sqlcipher.KeyCache) {
	opens := 0
	files, err := collector.Databases(account)
	if err != nil {
		info.Cause = err.Error()
	}
	for _, file := range files {
		d := DatabaseInfo{File: file}
		if err := checkDatabase(ctx, account, file, given, derived); err != nil {
			d.Cause = err.Error()
		} else {
			d.Opens = true
			opens++
		}
		info.Databases = append(info.Databases, d)
	}
	switch {
	case len(given) == 0:
		info.Key = KeyMissing
	case len(info.Databases) == 0:
		info.Key = KeyUnknown
		info.Cause = cmp.Or(info.Cause, "the account has no databases yet")
	case opens == len(info.Databases):
		info.Key = KeyOpens
	case opens > 0:
		info.Key = KeyPartly
	default:
		info.Key = KeyRejected
	}
}

func checkDatabase(ctx context.Context, account discover.Account, file string, given []sqlcipher.Key, derived *sqlcipher.KeyCache) error {
	db, err := sqlcipher.Open(filepath.Join(account.DBDir, filepath.FromSlash(file)), sqlcipher.Options{
		Params: sqlcipher.ParamsFor(string(account.Layout)), Keys: func([16]byte) []sqlcipher.Key { return given }, Derived: derived,
	})
	if err != nil {
		return err
	}
	return errors.Join(db.Check(ctx), db.Close())
}
