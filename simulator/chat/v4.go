package chat

import (
	"database/sql"
	"errors"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// v4 is a table for each conversation in each shard; official accounts have a file of
// their own.
type v4 struct{}

func (v4) homes(c *Client, conv *conversation) []string {
	if conv.official() {
		return []string{account.BizMessageFile}
	}
	return c.growing
}

func (v4) table(_ string, conv *conversation) string { return account.Table(conv.username) }

func (v4) exists(s *shard, table string) (bool, error) { return s.hasTable(table) }

func (v4) last(s *shard, table string, _ *conversation) (last int64, err error) {
	err = s.db.QueryRow(`SELECT coalesce(max(sort_seq), 0) FROM ` + table).Scan(&last)
	return last, err
}

func (v4) insert(c *Client, tx writer.Tx, m *message) error {
	if err := v4Table(tx, m); err != nil {
		return err
	}
	sender, err := m.shard.nameID(tx, "Name2Id", "user_name", m.sender)
	if err != nil {
		return err
	}
	var content, source any = m.stored(), m.source
	var contentMark, sourceMark any
	if m.packed {
		content, source = c.zstd.EncodeAll([]byte(m.stored()), nil), c.zstd.EncodeAll([]byte(m.source), nil)
		contentMark, sourceMark = account.CompressZstd, account.CompressZstd
	}
	packedInfo := c.packedInfo
	if m.item != nil {
		packedInfo = m.item.Packed
	}
	res, err := tx.Exec(`INSERT INTO `+m.table+`(server_id, local_type, sort_seq, real_sender_id, create_time, status,
		upload_status, download_status, server_seq, origin_source, source, message_content, compress_content, packed_info_data,
		WCDB_CT_message_content, WCDB_CT_source) VALUES(?, ?, ?, ?, ?, ?, 0, 0, ?, 1, ?, ?, NULL, ?, ?, ?)`,
		m.rowServerID(), m.localType, m.sortSeq, sender, m.createTime, m.status(), m.sortSeq%1_000_000_000, source, content, packedInfo,
		contentMark, sourceMark)
	if err != nil {
		return err
	}
	m.localID, err = res.LastInsertId()
	return err
}

// v4Table creates the table of a conversation with its first message.
func v4Table(tx writer.Tx, m *message) error {
	if m.shard.made[m.table] {
		return nil
	}
	for _, s := range account.MessageTable(m.table) {
		if _, err := tx.Exec(s); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT INTO Name2Id(user_name, is_session) VALUES(?, 1)
		ON CONFLICT(user_name) DO UPDATE SET is_session = 1`, m.conv.username); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO wcdb_builtin_compression_record VALUES(?, 'message_content,source', 0)`, m.table); err != nil {
		return err
	}
	m.shard.made[m.table] = true
	return nil
}

func (v4) confirm(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET server_id = ?, status = ? WHERE local_id = ?`, m.serverID, statusSent, m.localID)
	return err
}

func (v4) takeBack(tx writer.Tx, m *message, localType int64, notice string) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET local_type = ?, message_content = ?, source = '', WCDB_CT_message_content = 0,
		WCDB_CT_source = 0 WHERE local_id = ?`, localType, notice, m.localID)
	return err
}

func (v4) row(s *shard, table string, localID int64) (r row, ok bool, err error) {
	var mark sql.NullInt64
	err = s.db.QueryRow(`SELECT local_type, sort_seq, server_id, WCDB_CT_message_content FROM `+table+` WHERE local_id = ?`, localID).
		Scan(&r.localType, &r.order, &r.serverID, &mark)
	r.compressed = mark.Int64 == account.CompressZstd
	return r, err == nil, ignoreNoRows(err)
}

func (v4) unanswered(c *Client, s *shard, table string, conv *conversation) ([]*message, error) {
	rows, err := s.db.Query(`SELECT local_id, sort_seq, create_time, local_type, message_content, WCDB_CT_message_content, source
		FROM `+table+` WHERE server_id = 0 AND local_type < 10000 AND status = ?`, statusSending)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*message
	for rows.Next() {
		m := &message{conv: conv, shard: s, table: table, self: true, sender: c.acct.Name}
		var content []byte
		var mark *int64
		if err := rows.Scan(&m.localID, &m.sortSeq, &m.createTime, &m.localType, &content, &mark, &m.source); err != nil {
			return nil, err
		}
		if mark != nil && *mark == account.CompressZstd {
			if content, err = c.unzstd.DecodeAll(content, nil); err != nil {
				return nil, err
			}
		}
		m.content = string(content)
		found = append(found, m)
	}
	return found, rows.Err()
}

func (v4) sessions(c *Client, latest map[*conversation]*message) error {
	db, err := c.acct.DB(account.SessionFile)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		for conv, m := range latest {
			_, err := tx.Exec(`INSERT OR REPLACE INTO SessionTable(username, type, unread_count, is_hidden, summary, draft, status,
				last_timestamp, sort_timestamp, last_msg_locald_id, last_msg_type, last_msg_sub_type, last_msg_sender,
				last_sender_display_name, last_msg_ext_type) VALUES(?, 0, ?, 0, ?, '', 0, ?, ?, ?, ?, ?, ?, ?, 0)`,
				conv.username, conv.unread, m.stored(), m.createTime, m.createTime, m.localID, m.base(), m.sub(), m.sender, c.nicks[m.sender])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (v4) rewrite(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET local_type = ?, message_content = ?, WCDB_CT_message_content = 0, packed_info_data = ?, upload_status = 2 WHERE local_id = ?`,
		m.localType, m.stored(), m.item.Packed, m.localID)
	return err
}

func (v4) remove(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`DELETE FROM `+m.table+` WHERE local_id = ?`, m.localID)
	return err
}

func (v4) status(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET download_status = download_status + 1, upload_status = 3 WHERE local_id = ?`, m.localID)
	return err
}

// clear: a table that is dropped is named in DeleteInfo first.
func (v4) clear(tx writer.Tx, s *shard, table string, conv *conversation, drop bool) (bool, error) {
	id, err := s.nameID(tx, "Name2Id", "user_name", conv.username)
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec(`INSERT INTO DeleteInfo(chat_name_id, delete_table_name) VALUES(?, ?)`, id, table); err != nil {
		return false, err
	}
	if !drop {
		_, err := tx.Exec(`DELETE FROM ` + table)
		return false, err
	}
	return true, tx.Once(`DROP TABLE ` + table)
}

func (v4) forget(c *Client, conv *conversation, now int64) error {
	db, err := c.acct.DB(account.SessionFile)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		if _, err := tx.Exec(`DELETE FROM SessionTable WHERE username = ?`, conv.username); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT OR REPLACE INTO SessionDeleteTable(username, delete_time) VALUES(?, ?)`, conv.username, now)
		return err
	})
}

func (v4) begin(c *Client, s *shard, at time.Time) error {
	return s.db.Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`INSERT INTO TimeStamp VALUES(?)`, at.Unix())
		return err
	})
}

func (v4) begun(s *shard) (at int64, err error) {
	err = s.db.QueryRow(`SELECT coalesce(max(timestamp), 0) FROM TimeStamp`).Scan(&at)
	return at, err
}

// noteRecall keeps what an own recalled message said, for "re-edit".
func (v4) noteRecall(c *Client, m *message, now int64) error {
	db, err := c.acct.DB(account.GeneralFile)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`INSERT OR REPLACE INTO revokemessage VALUES(?, ?, ?, ?, ?, '')`, m.conv.username, m.serverID, m.localType, now, m.content)
		return err
	})
}

// compress rewrites a row as zstd, if it still is what it was, and reports whether it did.
func (v4) compress(c *Client, tx writer.Tx, m *message) (bool, error) {
	res, err := tx.Exec(`UPDATE `+m.table+` SET message_content = ?, WCDB_CT_message_content = ?, source = ?, WCDB_CT_source = ?
		WHERE local_id = ? AND local_type = ?`, c.zstd.EncodeAll([]byte(m.stored()), nil), account.CompressZstd,
		c.zstd.EncodeAll([]byte(m.source), nil), account.CompressZstd, m.localID, m.localType)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err // recalled meanwhile
	}
	_, err = tx.Exec(`UPDATE wcdb_builtin_compression_record SET rowid = max(rowid, ?) WHERE tableName = ?`, m.localID, m.table)
	return err == nil, err
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
