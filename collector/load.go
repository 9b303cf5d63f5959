package collector

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
)

// readNames reads the shard's usernames when a page of theirs was written: there may
// be thousands, and most commits add none.
func (s *shard) readNames(v *sqlcipher.View, pages map[uint32]struct{}, known bool) error {
	if s.names != nil && known && !slices.ContainsFunc(s.namesPages, func(p uint32) bool { _, hit := pages[p]; return hit }) {
		return nil
	}
	s.learnt = true
	stop := v.Trace()
	names, err := s.a.schema.ReadNames(v)
	read := stop()
	if err != nil {
		return err
	}
	// Page 1 is in every trace and changes with the size of the file.
	s.namesPages = slices.DeleteFunc(read, func(p uint32) bool { return p == 1 })
	s.takeNames(names)
	return nil
}

// load learns the schema when it is new or changed, and restores cursors when the
// file is.
func (s *shard) load(v *sqlcipher.View) error {
	if err := s.same(v); err != nil {
		return err
	}
	version, err := wechat.SchemaVersion(v)
	if err != nil {
		return err
	}
	if s.loaded && version == s.schema {
		return nil
	}
	s.learnt = true
	tables, err := s.a.schema.Tables(v)
	if err != nil {
		return err
	}
	s.names = nil // their table may be another now
	fresh := s.id == ""
	if fresh {
		s.identity = v.Identity()
		s.shardID = hex.EncodeToString(s.identity.Salt[:])
		s.id = short(s.a.disc.Path, s.file, s.shardID)
		if err := s.succeed(); err != nil {
			s.id = ""
			return committed{err}
		}
	}
	dirty, err := s.restoreDirty()
	if err != nil {
		return committed{err}
	}
	odd := map[string]bool{}
	known := map[string]bool{}
	for _, t := range tables {
		for _, o := range t.Unfamiliar() {
			odd[o] = true
		}
		known[t.Name] = true
		if have := s.tables[t.Name]; have != nil && have.Key == t.Key {
			have.Table, have.sql, have.dropped = t, t.SelectRange(), false
			continue
		}
		if !t.Usable() {
			continue
		}
		restored, err := s.restore(t)
		if err != nil {
			return committed{err}
		}
		restored.sql, restored.kept = t.SelectRange(), dirty[t.Key]
		s.gone = slices.DeleteFunc(s.gone, func(gone *table) bool { return gone.Key == t.Key }) // made anew
		s.tables[t.Name] = restored
		s.watch.restored(restored)
	}
	if fresh {
		if err := s.restoreDropped(dirty); err != nil {
			return committed{err}
		}
	}
	for name, t := range s.tables {
		if !known[name] {
			t.dropped = true // with its conversation, see tellDropped
		}
	}
	s.older = version < s.cookie
	s.unnumbered = s.unnumbered[:0]
	for _, t := range s.tables {
		if !t.Numbered && !t.dropped {
			s.unnumbered = append(s.unnumbered, t)
		}
	}
	strange, notes, err := s.a.schema.Strange(v)
	if err != nil {
		return err
	}
	shapes, err := wechat.Shapes(v, false)
	if err != nil {
		return err
	}
	s.form = wechat.Fingerprint(shapes)
	s.odd = drift{append(sortedKeys(odd), strange...), append(notes, "fingerprint "+s.form)}
	s.schema, s.loaded = version, true
	return nil
}

// same reports a view of another file than the one whose cursors are loaded. The
// database says ErrReplaced to one reader only, which may have been another.
func (s *shard) same(v *sqlcipher.View) error {
	if s.id != "" && v.Identity() != s.identity {
		return fmt.Errorf("%s: %w", s.file, sqlcipher.ErrReplaced)
	}
	return nil
}

// restore reads a table's cursor and window from the spool.
func (s *shard) restore(t wechat.Table) (*table, error) {
	out := &table{Table: t, window: map[int64]*windowRow{}, inner: map[uint32]struct{}{}}
	b, err := s.a.c.opts.Spool.Cursor(tableKey(s.id, t.Key))
	if err != nil || b == nil {
		return out, err
	}
	if out.position, err = decodePosition(b); err != nil {
		return nil, fmt.Errorf("cursor of %s: %w", s.file, err)
	}
	if out.holes, err = s.restoreHoles(t.Key); err != nil {
		return nil, err
	}
	if out.lacks, err = s.restoreLacks(t.Key); err != nil {
		return nil, err
	}
	prefix := "w/" + s.id + "/" + t.Key + "/"
	err = s.a.c.opts.Spool.Cursors(prefix, func(key string, value []byte) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 64)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		w, ours, err := decodeWindowRow(value, s.check)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		if ours {
			out.window[int64(id)] = w
		}
		return nil
	})
	return out, err
}

// takeNames makes the shard's usernames known and settles the owner's username: the
// folder's whole name, when that stands here and the name without suffix does not.
func (s *shard) takeNames(names wechat.Names) {
	s.names = names
	alternative := s.a.disc.Alternative
	isID, isAlternative := false, false
	for _, u := range names {
		s.a.learn(u)
		isID, isAlternative = isID || u == s.a.disc.ID, isAlternative || u == alternative
	}
	if isAlternative && !isID && alternative != "" {
		s.a.id = alternative
	}
}
