package chat

import (
	"fmt"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// The ways in which a newer client differs from what is known.
const (
	DriftColumn  = "column"  // a message table has a column more
	DriftType    = "type"    // a message of a type that nobody has seen
	DriftTable   = "table"   // a message database has a table more
	DriftMissing = "missing" // a table of the address book is not there
)

// Drifts is all of them.
var Drifts = []string{DriftColumn, DriftMissing, DriftTable, DriftType}

// unseenType is a base type that no source names.
const unseenType = 7777

// drift makes the client a newer one, in the place where m was said.
func (l *live) drift(kind string, m *message) error {
	change := oracle.Change{Op: oracle.Drift, Change: kind, File: m.shard.file, Table: m.table}
	run := func(statements ...string) func() error {
		return func() error {
			return m.shard.db.Update(func(tx writer.Tx) error {
				for _, s := range statements {
					if err := tx.Once(s); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	switch kind {
	case DriftColumn:
		return l.note(change, run(`ALTER TABLE `+m.table+` ADD COLUMN future_flag INTEGER DEFAULT 7`))
	case DriftTable:
		change.Table = "FutureFeature"
		return l.note(change, run(`CREATE TABLE FutureFeature(id INTEGER PRIMARY KEY, body TEXT)`, `INSERT INTO FutureFeature VALUES(1, 'nobody knows')`))
	case DriftMissing:
		file, table := l.form.dispensable()
		change.File, change.Table = file, table
		db, err := l.acct.DB(file)
		if err != nil {
			return err
		}
		return l.note(change, func() error {
			return db.Update(func(tx writer.Tx) error { return tx.Once(`DROP TABLE ` + table) })
		})
	case DriftType:
		next := l.speaker.next()
		next.localType, next.known = unseenType, true
		next.stamp(m.createTime)
		if err := l.note(change, func() error { return nil }); err != nil {
			return err
		}
		return l.say(next, nil)
	}
	return fmt.Errorf("drift: %q is none of %v", kind, Drifts)
}

// dispensable is a table that a reader of names asks for and the client here does not.
func (v4) dispensable() (file, table string) { return account.ContactFile, "chat_room_info_detail" }
func (w3) dispensable() (file, table string) { return account.W3ContactFile, "ChatRoomInfo" }
func (m3) dispensable() (file, table string) { return account.M3ContactFile, "WCContactLabel" }
