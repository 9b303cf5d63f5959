package collector

import (
	"context"
	"errors"
	"slices"

	"tidemark/collector/sqlcipher"
)

// KeysFor asks for an account's keys by each name it has, until one has a key of the
// account: it may have been given for what the folder is called before the databases
// told the username, or for the username where the folder is called otherwise. Keys of
// single databases answer to any name and end nothing. Empty names are left out, each
// key comes once, and the error is returned only when no key was found.
func KeysFor(ctx context.Context, source Keys, names ...string) ([]sqlcipher.Key, error) {
	var out []sqlcipher.Key
	var errs []error
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			continue
		}
		given, err := source.Keys(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found := false
		for _, k := range given {
			if _, single := k.Salt(); !single {
				found = true
			}
			if !slices.ContainsFunc(out, k.Equal) {
				out = append(out, k)
			}
		}
		if found {
			break
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, errors.Join(errs...)
}
