package chat

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/pierrec/lz4/v4"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// w3 is one table for all conversations in each shard; official accounts and WeCom
// contacts have files of their own.
type w3 struct{}

func (w3) homes(c *Client, conv *conversation) []string {
	switch {
	case conv.official():
		return []string{account.W3PublicFile}
	case strings.HasSuffix(conv.username, "@openim"):
		return []string{account.W3OpenIMFile}
	}
	return c.growing
}

func (w3) table(file string, _ *conversation) string {
	switch file {
	case account.W3PublicFile:
		return "PublicMsg"
	case account.W3OpenIMFile:
		return "OpenIMMsg"
	}
	return "MSG"
}

func (w3) exists(*shard, string) (bool, error) { return true, nil }

func (w3) last(s *shard, table string, conv *conversation) (last int64, err error) {
	err = s.db.QueryRow(`SELECT coalesce(max(Sequence), 0) FROM `+table+` WHERE StrTalker = ?`, conv.username).Scan(&last)
	return last, err
}

func (w3) insert(_ *Client, tx writer.Tx, m *message) error {
	talker, err := m.shard.nameID(tx, "Name2ID", "UsrName", m.conv.username)
	if err != nil {
		return err
	}
	content, packed := w3Content(m)
	display := ""
	if m.item != nil {
		display = m.item.Display
	}
	res, err := tx.Exec(`INSERT INTO `+m.table+`(TalkerId, MsgSvrID, Type, SubType, IsSender, CreateTime, Sequence, StatusEx, FlagEx, Status,
		MsgServerSeq, MsgSequence, StrTalker, StrContent, DisplayContent, CompressContent, BytesExtra) VALUES(?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?)`,
		talker, m.rowServerID(), m.base(), m.sub(), m.self, m.createTime, m.sortSeq, m.status(), m.sortSeq%1_000_000_000, m.sortSeq%1_000_000_000,
		m.conv.username, content, display, packed, m.bytesExtra())
	if err != nil {
		return err
	}
	m.localID, err = res.LastInsertId()
	return err
}

// w3Content is StrContent and CompressContent.
func w3Content(m *message) (content string, packed []byte) {
	if m.base() == typeApp {
		return "", lz4Block(m.content)
	}
	return m.content, nil
}

// bytesExtra is the protobuf beside a W3 row: 1 = two integers of unknown meaning,
// repeated 3 = {1 kind, 2 text}: kind 1 is the sender in a room, 7 the msgsource.
func (m *message) bytesExtra() []byte {
	b := account.AppendBytes(nil, 1, account.AppendVarint(account.AppendVarint(nil, 1, 16), 2, 0))
	add := func(kind uint64, text string) {
		b = account.AppendBytes(b, 3, account.AppendBytes(account.AppendVarint(nil, 1, kind), 2, []byte(text)))
	}
	if m.conv.room() && !m.self && !m.notice() {
		add(1, m.sender)
	}
	if m.item != nil {
		for _, e := range m.item.Extra {
			add(uint64(e.Kind), e.Value)
		}
	}
	if m.source != "" {
		add(7, m.source)
	}
	return b
}

// lz4Block is the body of an app message: one LZ4 block without frame or size, of the
// text and a NUL.
func lz4Block(text string) []byte {
	plain := append([]byte(text), 0)
	packed := make([]byte, lz4.CompressBlockBound(len(plain)))
	var c lz4.Compressor
	n, err := c.CompressBlock(plain, packed)
	if err == nil && n > 0 {
		return packed[:n]
	}
	return lz4Literals(plain) // too short to be made shorter
}

// lz4Literals is a block of literals only.
func lz4Literals(plain []byte) []byte {
	if len(plain) < 15 {
		return append([]byte{byte(len(plain)) << 4}, plain...)
	}
	b := []byte{0xf0}
	rest := len(plain) - 15
	b = append(b, bytes.Repeat([]byte{255}, rest/255)...)
	return append(append(b, byte(rest%255)), plain...)
}

func (w3) confirm(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET MsgSvrID = ?, Status = ? WHERE localId = ?`, m.serverID, statusSent, m.localID)
	return err
}

// takeBack: the sub type tells what it was that was recalled.
func (w3) takeBack(tx writer.Tx, m *message, _ int64, notice string) error {
	sub := m.base()
	if m.base() == typeApp {
		sub = m.sub()
	}
	_, err := tx.Exec(`UPDATE `+m.table+` SET Type = ?, SubType = ?, StrContent = ?, CompressContent = NULL, BytesExtra = ? WHERE localId = ?`,
		typeNotice, sub, notice, account.AppendBytes(nil, 1, account.AppendVarint(nil, 1, 16)), m.localID)
	return err
}

func (w3) row(s *shard, table string, localID int64) (r row, ok bool, err error) {
	var base, sub int64
	err = s.db.QueryRow(`SELECT Type, SubType, Sequence, MsgSvrID FROM `+table+` WHERE localId = ?`, localID).Scan(&base, &sub, &r.order, &r.serverID)
	r.localType = sub<<32 | base
	return r, err == nil, ignoreNoRows(err)
}

func (w3) unanswered(c *Client, s *shard, table string, conv *conversation) ([]*message, error) {
	rows, err := s.db.Query(`SELECT localId, Sequence, CreateTime, Type, SubType, StrContent FROM `+table+`
		WHERE StrTalker = ? AND IsSender = 1 AND MsgSvrID = 0 AND Type < 10000 AND Status = ?`, conv.username, statusSending)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*message
	for rows.Next() {
		m := &message{conv: conv, shard: s, table: table, self: true, sender: c.acct.Name}
		var base, sub int64
		if err := rows.Scan(&m.localID, &m.sortSeq, &m.createTime, &base, &sub, &m.content); err != nil {
			return nil, err
		}
		m.localType = sub<<32 | base
		found = append(found, m)
	}
	return found, rows.Err()
}

func (w3) sessions(c *Client, latest map[*conversation]*message) error {
	db, err := c.acct.DB(account.W3ContactFile)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		for conv, m := range latest {
			_, err := tx.Exec(`INSERT OR REPLACE INTO Session(strUsrName, nOrder, nUnReadCount, strNickName, nStatus, nIsSend, strContent, nMsgType, nMsgLocalID,
				nMsgStatus, nTime) VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)`, conv.username, m.createTime, conv.unread, c.nicks[conv.username], m.self, m.content,
				m.base(), m.localID, m.status(), m.createTime)
			if err != nil {
				return fmt.Errorf("session: %w", err)
			}
		}
		return nil
	})
}

func (w3) rewrite(tx writer.Tx, m *message) error {
	content, packed := w3Content(m)
	_, err := tx.Exec(`UPDATE `+m.table+` SET Type = ?, SubType = ?, StrContent = ?, CompressContent = ? WHERE localId = ?`,
		m.base(), m.sub(), content, packed, m.localID)
	return err
}

func (w3) remove(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`DELETE FROM `+m.table+` WHERE localId = ?`, m.localID)
	return err
}

func (w3) status(tx writer.Tx, m *message) error {
	_, err := tx.Exec(`UPDATE `+m.table+` SET StatusEx = StatusEx + 1, FlagEx = 2 WHERE localId = ?`, m.localID)
	return err
}

func (w3) clear(tx writer.Tx, _ *shard, table string, conv *conversation, _ bool) (bool, error) {
	_, err := tx.Exec(`DELETE FROM `+table+` WHERE StrTalker = ?`, conv.username)
	return false, err
}

func (w3) forget(c *Client, conv *conversation, _ int64) error {
	return c.delete(account.W3ContactFile, `DELETE FROM Session WHERE strUsrName = ?`, conv.username)
}

func (w3) begin(c *Client, s *shard, at time.Time) error {
	if _, err := c.acct.DB(account.W3Media(s.file)); err != nil {
		return err
	}
	return s.db.Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`INSERT INTO DBInfo VALUES(1, ?, 'MSG')`, at.UnixMilli())
		return err
	})
}

func (w3) begun(s *shard) (at int64, err error) {
	err = s.db.QueryRow(`SELECT coalesce(max(tableVersion), 0) FROM DBInfo`).Scan(&at)
	return at, err
}
