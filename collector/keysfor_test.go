package collector_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidemark/collector"
	"tidemark/collector/sqlcipher"
)

// named gives keys by name, and fails for the name bad.
type named struct {
	keys  map[string][]sqlcipher.Key
	asked []string
}

func (n *named) Keys(_ context.Context, account string) ([]sqlcipher.Key, error) {
	n.asked = append(n.asked, account)
	if account == "bad" {
		return nil, errors.New("it burns")
	}
	return n.keys[account], nil
}

// Promise: a key works under whichever of the account's names it was given, also when
// another name has keys of single databases; a name is asked once, and none after the
// one that has the account's key.
func TestKeysFor(t *testing.T) {
	key := func(text string) sqlcipher.Key {
		k, err := sqlcipher.ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	account, single := key(strings.Repeat("a1", 32)), key(strings.Repeat("b2", 48))
	for _, c := range []struct {
		names, asked []string
		want         []sqlcipher.Key
		fails        bool
	}{
		{[]string{"learned", "folder", "x"}, []string{"learned", "folder"}, []sqlcipher.Key{single, account}, false},
		{[]string{"folder", "learned"}, []string{"folder"}, []sqlcipher.Key{account, single}, false},
		{[]string{"learned", "learned", "", "nobody"}, []string{"learned", "nobody"}, []sqlcipher.Key{single}, false},
		{[]string{"bad", "folder"}, []string{"bad", "folder"}, []sqlcipher.Key{account, single}, false},
		{[]string{"bad", "nobody"}, []string{"bad", "nobody"}, nil, true},
		{[]string{"nobody", ""}, []string{"nobody"}, nil, false},
	} {
		source := &named{keys: map[string][]sqlcipher.Key{"learned": {single}, "folder": {account, single}}}
		got, err := collector.KeysFor(context.Background(), source, c.names...)
		if !slices.EqualFunc(got, c.want, sqlcipher.Key.Equal) || (err != nil) != c.fails {
			t.Errorf("%q: %d keys, %v", c.names, len(got), err)
		}
		if !slices.Equal(source.asked, c.asked) {
			t.Errorf("%q: asked for %q, want %q", c.names, source.asked, c.asked)
		}
	}
}
