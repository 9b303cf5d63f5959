package chat

import (
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// m3 is a table for each conversation, in one of ten files.
type m3 struct{}

func (m3) homes(_ *Client, conv *conversation) []string {
	return []string{account.M3MessageFile(conv.username)}
}

func (m3) table(_ string, conv *conversation) string { return account.M3Table(conv.username) }

func (m3) exists(s *shard, table string) (bool, error) { return s.hasTable(table) }

func (m3) last(s *shard, table string, _ *conversation) (last int64, err error) {
	err = s.db.QueryRow(`SELECT coalesce(max(msgSeq), 0) FROM ` + table).Scan(&last)
	return last, err
}

func (m3) insert(_ *Client, tx writer.Tx, m *message) error {
	if !m.shard.made[m.table] {
		for _, s := range account.M3MessageTable(m.table) {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		m.shard.made[m.table] = true
	}
	received := 1
	if m.self {
		received = 0
	}
	res, err := tx.Exec(`INSERT INTO `+m.table+`(mesSvrID, msgCreateTime, msgContent, msgStatus, msgImgStatus, messageType, mesDes, msgSource,
		IntRes1, IntRes2, StrRes1, StrRes2, msgVoiceText, msgSeq) VALUES(?, ?, ?, ?, 0, ?, ?, ?, 0, 0, NULL, NULL, ?, ?)`,
		m.rowServerID(), m.createTime, m.stored(), m.status(), m.base(), received, m.source, m.transcript(), m.sortSeq)
	if err != nil {
		return err
	}
	m.localID, err = res.LastInsertId()
	return err
}

func (m3) confirm(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET mesSvrID = ?, msgStatus = ? WHERE mesLocalID = ?`, m.serverID, statusSent, m.localID)
	return err
}

func (m3) takeBack(tx writer.Tx, m *message, localType int64, notice string) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET messageType = ?, msgContent = ?, msgSource = '' WHERE mesLocalID = ?`, localType, notice, m.localID)
	return err
}

func (m3) row(s *shard, table string, localID int64) (r row, ok bool, err error) {
	err = s.db.QueryRow(`SELECT messageType, msgSeq, mesSvrID FROM `+table+` WHERE mesLocalID = ?`, localID).Scan(&r.localType, &r.order, &r.serverID)
	return r, err == nil, ignoreNoRows(err)
}

func (m3) unanswered(c *Client, s *shard, table string, conv *conversation) ([]*message, error) {
	rows, err := s.db.Query(`SELECT mesLocalID, msgSeq, msgCreateTime, messageType, msgContent FROM `+table+`
		WHERE mesDes = 0 AND mesSvrID = 0 AND messageType < 10000 AND msgStatus = ?`, statusSending)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*message
	for rows.Next() {
		m := &message{conv: conv, shard: s, table: table, self: true, sender: c.acct.Name}
		if err := rows.Scan(&m.localID, &m.sortSeq, &m.createTime, &m.localType, &m.content); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return found, rows.Err()
}

func (m3) sessions(c *Client, latest map[*conversation]*message) error {
	db, err := c.acct.DB(account.M3SessionFile)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		for conv, m := range latest {
			if _, err := tx.Exec(`INSERT OR REPLACE INTO SessionAbstract(m_nsUserName, m_uUnReadCount, m_uLastTime) VALUES(?, ?, ?)`,
				conv.username, conv.unread, m.createTime); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m3) rewrite(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET messageType = ?, msgContent = ?, msgVoiceText = ? WHERE mesLocalID = ?`,
		m.base(), m.stored(), m.transcript(), m.localID)
	return err
}

// remove leaves a mark of the row in the table of deletions.
func (m3) remove(tx writer.Tx, m *message) error {
	if _, err := tx.Exec(`INSERT OR REPLACE INTO `+m.table+`_dels VALUES(?, ?, ?)`, m.localID, m.rowServerID(), m.createTime); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM `+m.table+` WHERE mesLocalID = ?`, m.localID)
	return err
}

func (m3) status(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET msgImgStatus = msgImgStatus + 1, IntRes1 = 1 WHERE mesLocalID = ?`, m.localID)
	return err
}

func (m3) clear(tx writer.Tx, _ *shard, table string, _ *conversation, drop bool) (bool, error) {
	if !drop {
		_, err := tx.Exec(`DELETE FROM ` + table)
		return false, err
	}
	if err := tx.Once(`DROP TABLE ` + table + `_dels`); err != nil {
		return false, err
	}
	return true, tx.Once(`DROP TABLE ` + table)
}

func (m3) forget(c *Client, conv *conversation, _ int64) error {
	return c.delete(account.M3SessionFile, `DELETE FROM SessionAbstract WHERE m_nsUserName = ?`, conv.username)
}

func (m3) begin(*Client, *shard, time.Time) error { return nil }

func (m3) begun(*shard) (int64, error) { return 0, nil }

// transcript is msgVoiceText.
func (m *message) transcript() any {
	if m.item == nil || m.item.Transcript == "" {
		return nil
	}
	return m.item.Transcript
}
