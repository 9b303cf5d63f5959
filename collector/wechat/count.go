package wechat

import (
	"fmt"
	"strconv"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// Created is when a row was sent, in seconds of the client's clock.
func (d *Rows) Created(row record.Row) int64 {
	d.find(row)
	return d.int(row, colCreated)
}

// SelectTimes is the statement that reads nothing but the ids and times of the rows
// with ids from ?1 to ?2 in order, at most ?3 of them.
func (t *Table) SelectTimes() string {
	id := sqlite3.QuoteIdentifier(t.ID())
	return fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s BETWEEN ?1 AND ?2 ORDER BY %s LIMIT ?3",
		id, t.column(colCreated), sqlite3.QuoteIdentifier(t.Name), id, id)
}

// column is a decoded column, or NULL where the table does not have it.
func (t *Table) column(c int) string {
	for _, have := range t.Columns {
		if have == t.schema.columns[c] {
			return sqlite3.QuoteIdentifier(have)
		}
	}
	return "NULL"
}

// CountDays counts the rows with ids up to the given one, by the day in UTC since 1970
// that they were sent on, -1 for none, and by conversation where the table holds many.
// It is a query of its own, not a by-product of capture.
func (t *Table) CountDays(v *sqlcipher.View, names Names, upTo int64, fn func(talker string, day, n int64)) error {
	created := t.column(colCreated)
	talker, talkerID := "NULL", "NULL"
	if t.schema.PerRow {
		talker, talkerID = t.column(colTalker), t.column(colTalkerID)
	}
	stmt, err := v.Prepare(fmt.Sprintf(`SELECT CASE WHEN typeof(%[1]s) = 'integer' AND %[1]s > 0 THEN %[1]s / 86400 ELSE -1 END AS day, %[2]s, %[3]s, count(*)
		FROM %[4]s WHERE %[5]s <= ?1 GROUP BY 1, 2, 3`, created, talker, talkerID, sqlite3.QuoteIdentifier(t.Name), sqlite3.QuoteIdentifier(t.ID())))
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	defer stmt.Reset()
	if err := stmt.BindInt64(1, upTo); err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	for stmt.Step() {
		who := ""
		if t.schema.PerRow {
			who = talkerOf(stmt.ColumnText(1), stmt.ColumnInt64(2), names)
		}
		fn(who, stmt.ColumnInt64(0), stmt.ColumnInt64(3))
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	return nil
}

// talkerOf is whose conversation a row is of that names its own.
func talkerOf(username string, id int64, names Names) string {
	if username != "" {
		return username
	}
	if username := names[id]; username != "" {
		return username
	}
	return UnresolvedTalker + strconv.FormatInt(id, 10)
}
