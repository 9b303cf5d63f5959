package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
)

// Diagnosis is the form of an account's databases: what support needs to teach this
// program a client that it does not know. There is no content in it, no username, no
// path and no key.
type Diagnosis struct {
	Account    string              `json:"account"` // a digest of the username that only this device can make
	Generation string              `json:"generation"`
	App        string              `json:"app"`
	OS         string              `json:"os"`
	Layout     string              `json:"layout"`
	Keys       int                 `json:"keys"` // how many the sources gave
	Databases  []DatabaseDiagnosis `json:"databases"`
}

// DatabaseDiagnosis is one of its databases.
type DatabaseDiagnosis struct {
	File        string           `json:"file"` // relative to the database folder; * for what is particular to the account
	State       State            `json:"state"`
	Params      string           `json:"params,omitempty"` // the parameter set that opens it
	Bytes       int64            `json:"bytes"`
	WALBytes    int64            `json:"wal_bytes"`
	Header      map[string]int64 `json:"header,omitempty"` // SQLite's own fields
	Fingerprint string           `json:"fingerprint,omitempty"`
	Shapes      []wechat.Shape   `json:"shapes,omitempty"`
	Types       []TypeCount      `json:"types,omitempty"`   // of its messages
	Strange     []string         `json:"strange,omitempty"` // columns that tables of messages lack (-) or have beyond what is known (+)
}

// headerFields are SQLite's.
var headerFields = []string{"page_size", "page_count", "freelist_count", "schema_version", "user_version", "application_id", "auto_vacuum"}

// Diagnose looks into every database of the accounts, below their database folders. It
// works beside a running agent and writes nothing. Secret is the device's, so that the
// same account has the same digest next time. What cannot be opened says why by its
// state.
func Diagnose(ctx context.Context, accounts []discover.Account, keys Keys, secret []byte) ([]Diagnosis, error) {
	out := []Diagnosis{}
	derived := new(sqlcipher.KeyCache)
	for _, d := range accounts {
		given, err := keys.Keys(ctx, d.ID)
		if err == nil && len(given) == 0 && d.Alternative != "" {
			given, err = keys.Keys(ctx, d.Alternative)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		one := Diagnosis{
			Account: Anonymous(secret, d.ID), Generation: d.Generation, App: d.App, OS: d.OS, Layout: string(d.Layout),
			Keys: len(given), Databases: []DatabaseDiagnosis{},
		}
		schema := wechat.For(d.Layout)
		params := append(slices.Clip(schema.Params), sqlcipher.Plain)
		for _, file := range databaseFiles(d.DBDir) {
			db, err := sqlcipher.Open(filepath.Join(d.DBDir, filepath.FromSlash(file)), sqlcipher.Options{
				Params: params, Keys: func([16]byte) []sqlcipher.Key { return given }, Derived: derived,
			})
			if err != nil {
				return nil, err
			}
			one.Databases = append(one.Databases, diagnoseDatabase(ctx, db, schema, file))
			if err := errors.Join(db.Close(), ctx.Err()); err != nil {
				return nil, err
			}
		}
		if err != nil && len(one.Databases) == 0 {
			one.Databases = append(one.Databases, DatabaseDiagnosis{State: StateNoSource})
		}
		out = append(out, one)
	}
	return out, nil
}

// Anonymous stands for a username where nobody is to be named.
func Anonymous(secret []byte, username string) string {
	sum := sha256.Sum256(slices.Concat(secret, []byte("diagnosis\x00"), []byte(username)))
	return "account-" + hex.EncodeToString(sum[:4])
}

// databaseFiles lists what may be databases, not deeper than the generations keep them.
func databaseFiles(root string) (out []string) {
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(root, path)
		if err != nil || rerr != nil {
			return nil // a folder that cannot be read has nothing to tell
		}
		rel = filepath.ToSlash(rel)
		switch {
		case e.IsDir() && strings.Count(rel, "/") >= 2:
			return fs.SkipDir
		case e.Type().IsRegular() && strings.HasSuffix(rel, ".db"):
			out = append(out, rel)
		}
		return nil
	})
	return out
}

// plainName is a file's name that is the same for every account.
var plainName = regexp.MustCompile(`^[A-Za-z_]+[0-9]{0,4}(\.db)?$`)

func anonymousFile(file string) string {
	parts := strings.Split(file, "/")
	for i, p := range parts {
		if !plainName.MatchString(p) || strings.HasPrefix(strings.ToLower(p), "wxid_") {
			parts[i] = "*" + filepath.Ext(p)
		}
	}
	return strings.Join(parts, "/")
}

func diagnoseDatabase(ctx context.Context, db *sqlcipher.DB, schema *wechat.Schema, file string) DatabaseDiagnosis {
	d := DatabaseDiagnosis{File: anonymousFile(file)}
	d.Bytes, d.WALBytes = fileSize(db.Path()), fileSize(db.Path()+"-wal")
	err := sqlcipher.Retry(ctx, attempts, func() error {
		d.Header, d.Shapes, d.Types, d.Strange = map[string]int64{}, nil, nil, nil
		return db.View(ctx, func(v *sqlcipher.View) error { return d.look(v, schema) })
	})
	d.State, d.Params = stateOf(err), db.Params()
	if err != nil {
		d.Header, d.Shapes, d.Types, d.Strange = nil, nil, nil, nil
	}
	return d
}

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (d *DatabaseDiagnosis) look(v *sqlcipher.View, schema *wechat.Schema) error {
	for _, field := range headerFields {
		stmt, err := v.Prepare("PRAGMA " + field)
		if err != nil {
			return err
		}
		if stmt.Step() {
			d.Header[field] = stmt.ColumnInt64(0)
		}
		if err := stmt.Reset(); err != nil {
			return err
		}
	}
	var err error
	if d.Shapes, err = wechat.Shapes(v, true); err != nil {
		return err
	}
	d.Fingerprint = wechat.Fingerprint(d.Shapes)
	tables, err := schema.Tables(v)
	if err != nil {
		return err
	}
	counts := map[[2]int64]int64{}
	strange := map[string]bool{}
	for _, t := range tables {
		for _, s := range t.Unfamiliar() {
			strange[s] = true
		}
		if err := t.CountTypes(v, func(native [2]int64, n int64) { counts[native] += n }); err != nil {
			return err
		}
	}
	d.Strange, d.Types = sortedKeys(strange), typeCounts(counts)
	return nil
}
