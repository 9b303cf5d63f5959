package collector

import (
	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// deletions records the captured rows of a table that are gone: with their whole
// conversation, when nothing is left of it, or alone.
func (r *reader) deletions(v *sqlcipher.View, change *tableChange) error {
	cleared := map[int64]bool{} // by talker
	for _, id := range change.gone {
		was := change.table.window[id]
		all, asked := cleared[was.talker]
		if !asked {
			var err error
			if all, err = r.emptied(v, change, was.talker); err != nil {
				return err
			}
			cleared[was.talker] = all
		}
		how := record.ChangeDeleted
		if all {
			how = record.ChangeCleared
		}
		r.deletion(change.table, id, was, how)
		change.expired = append(change.expired, id)
	}
	return nil
}

// emptied says whether none of the captured rows is left of the conversation whose rows
// went; it may have got new ones since.
func (r *reader) emptied(v *sqlcipher.View, change *tableChange, talker int64) (bool, error) {
	return change.table.Silent(v, r.s.names[talker], change.table.cursor)
}
