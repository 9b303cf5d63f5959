// Package chat is the desktop client at work: people talk, messages get their
// server ids, are recalled and compressed, and the oracle hears of every commit.
//
// Fill writes history in large transactions. Chat writes one message per commit,
// at a pace. What is said, by whom and where depends on the seed alone; when the
// server answers, who recalls how soon and when the background compression comes by
// depends on the clock.
//
// A Client belongs to one goroutine. An error from any method leaves it useless: the
// caller ends, and the next start resolves what is open, as after a crash.
package chat

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// Client writes into one account.
type Client struct {
	acct       *account.Account
	log        *oracle.Log
	convs      []*conversation
	names      map[string]int64  // rowids of Name2Id
	nicks      map[string]string // what people are called
	zstd       *zstd.Encoder
	unzstd     *zstd.Decoder
	packedInfo []byte
	sessions   map[*conversation]*message // whose session row is out of date
}

// New is a client on acct. It first settles the changes an earlier client left
// undecided, by looking into the database.
func New(acct *account.Account, log *oracle.Log, undecided []oracle.Change) (*Client, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	c := &Client{
		acct: acct, log: log, zstd: enc, unzstd: dec, packedInfo: account.PackedInfo(),
		names: map[string]int64{}, nicks: map[string]string{}, sessions: map[*conversation]*message{},
	}
	if err := c.settle(undecided); err != nil {
		return nil, fmt.Errorf("settle the oracle: %w", err)
	}
	for _, p := range acct.People {
		c.nicks[p.Username] = p.Nick
		if p.Type != 3 {
			c.convs = append(c.convs, &conversation{username: p.Username, table: account.Table(p.Username)})
		}
	}
	for _, r := range acct.Rooms {
		conv := &conversation{username: r.Username, table: account.Table(r.Username), members: []string{}}
		for _, m := range r.Members {
			if m.Username != acct.Name {
				conv.members = append(conv.members, m.Username)
			}
		}
		if len(conv.members) > 0 {
			c.convs = append(c.convs, conv)
		}
	}
	// The order must not hang on how the database returns its rows.
	slices.SortFunc(c.convs, func(a, b *conversation) int {
		return slices.Compare([]byte(a.table), []byte(b.table))
	})
	for _, conv := range c.convs {
		if err := c.resume(conv); err != nil {
			return nil, fmt.Errorf("resume conversation: %w", err)
		}
	}
	return c, nil
}

// tableExists reports whether a conversation has a table yet.
func (c *Client) tableExists(table string) (bool, error) {
	var n int
	err := c.acct.Message.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, table).Scan(&n)
	return n > 0, err
}

// resume learns where a conversation stands.
func (c *Client) resume(conv *conversation) error {
	var err error
	if conv.created, err = c.tableExists(conv.table); err != nil || !conv.created {
		return err
	}
	return c.acct.Message.QueryRow(`SELECT coalesce(max(sort_seq), 0) FROM ` + conv.table).Scan(&conv.lastSeq)
}

// settle decides each undecided change.
func (c *Client) settle(undecided []oracle.Change) error {
	for _, ch := range undecided {
		happened, err := c.happened(ch)
		if err != nil {
			return err
		}
		if err := c.log.Recovered(ch.N, happened, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// happened reports whether the database shows a change.
func (c *Client) happened(ch oracle.Change) (bool, error) {
	if exists, err := c.tableExists(ch.Table); err != nil || !exists {
		return false, err
	}
	localID, err := strconv.ParseInt(ch.LocalID, 10, 64)
	if err != nil {
		return false, fmt.Errorf("change %d: local id: %w", ch.N, err)
	}
	var localType, sortSeq, serverID int64
	var mark sql.NullInt64
	err = c.acct.Message.QueryRow(`SELECT local_type, sort_seq, server_id, WCDB_CT_message_content FROM `+ch.Table+` WHERE local_id = ?`, localID).
		Scan(&localType, &sortSeq, &serverID, &mark)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch ch.Op {
	case oracle.Insert: // a number that was rolled back may have been given out again
		return strconv.FormatInt(sortSeq, 10) == ch.SortSeq, nil
	case oracle.Recall:
		return localType == ch.Type, nil
	case oracle.ServerID:
		return strconv.FormatInt(serverID, 10) == ch.ServerID, nil
	case oracle.Recompress:
		return mark.Int64 == account.CompressZstd, nil
	}
	return false, fmt.Errorf("change %d: unknown op", ch.N)
}

// commit runs fn in a transaction on the message database and tells the oracle:
// what is about to be committed just before COMMIT, and that it was just after.
func (c *Client) commit(fn func(writer.Tx) ([]oracle.Change, error)) error {
	var first int64
	var count int
	err := c.acct.Message.Update(func(tx writer.Tx) error {
		changes, err := fn(tx)
		if err != nil {
			return err
		}
		if first, err = c.log.Begin(changes...); err == nil {
			count = len(changes)
		}
		return err
	})
	at := time.Now()
	if err != nil {
		return errors.Join(err, c.log.Abort(first, count, at))
	}
	return c.log.Commit(first, count, at)
}

// say inserts one message.
func (c *Client) say(m *message) error {
	err := c.commit(func(tx writer.Tx) ([]oracle.Change, error) {
		if err := c.insert(tx, m); err != nil {
			return nil, fmt.Errorf("insert message: %w", err)
		}
		return []oracle.Change{m.change(oracle.Insert, typeText, m.text)}, nil
	})
	c.touch(m)
	return err
}

// touch notes that the session row of m's conversation is out of date.
func (c *Client) touch(m *message) {
	c.sessions[m.conv] = m
	if !m.self {
		m.conv.unread++
	}
}

// confirm is the server's answer to an own message.
func (c *Client) confirm(m *message) error {
	return c.commit(func(tx writer.Tx) ([]oracle.Change, error) {
		m.known = true
		_, err := tx.Exec(`UPDATE `+m.conv.table+` SET server_id = ?, status = ? WHERE local_id = ?`, m.serverID, statusSent, m.localID)
		if err != nil {
			return nil, fmt.Errorf("write server id: %w", err)
		}
		return []oracle.Change{m.change(oracle.ServerID, typeText, m.text)}, nil
	})
}

// takeBack rewrites the row of m as the notice of its recall. What it said is gone
// from the message database; of own messages the client keeps it for "re-edit".
func (c *Client) takeBack(m *message, r *rand.Rand) error {
	notice := noticeText(r, c.nicks[m.sender], m.self)
	localType, content := int64(typeNotice), notice
	if r.IntN(4) == 0 {
		localType, content = typeControl, noticeXML(m.conv.username, m.serverID, notice)
	}
	err := c.commit(func(tx writer.Tx) ([]oracle.Change, error) {
		_, err := tx.Exec(`UPDATE `+m.conv.table+` SET local_type = ?, message_content = ?, source = '', WCDB_CT_message_content = 0,
			WCDB_CT_source = 0 WHERE local_id = ?`, localType, content, m.localID)
		if err != nil {
			return nil, fmt.Errorf("recall message: %w", err)
		}
		return []oracle.Change{m.change(oracle.Recall, localType, content)}, nil
	})
	if err != nil || !m.self {
		return err
	}
	err = c.acct.General.Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`INSERT OR REPLACE INTO revokemessage VALUES(?, ?, ?, ?, ?, '')`,
			m.conv.username, m.serverID, typeText, time.Now().Unix(), m.text)
		return err
	})
	if err != nil {
		return fmt.Errorf("note own recall: %w", err)
	}
	return nil
}

// compress rewrites a plain row as zstd, if it still is what it was.
func (c *Client) compress(m *message) error {
	return c.commit(func(tx writer.Tx) ([]oracle.Change, error) {
		res, err := tx.Exec(`UPDATE `+m.conv.table+` SET message_content = ?, WCDB_CT_message_content = ?, source = ?, WCDB_CT_source = ?
			WHERE local_id = ? AND local_type = ?`, c.zstd.EncodeAll([]byte(m.stored()), nil), account.CompressZstd,
			c.zstd.EncodeAll([]byte(m.source), nil), account.CompressZstd, m.localID, typeText)
		if err != nil {
			return nil, fmt.Errorf("compress message: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return nil, err // recalled meanwhile
		}
		if _, err := tx.Exec(`UPDATE wcdb_builtin_compression_record SET rowid = max(rowid, ?) WHERE tableName = ?`, m.localID, m.conv.table); err != nil {
			return nil, fmt.Errorf("compress message: %w", err)
		}
		return []oracle.Change{m.change(oracle.Recompress, typeText, m.text)}, nil
	})
}

// writeSessions brings the conversation list up to date.
func (c *Client) writeSessions() error {
	if len(c.sessions) == 0 {
		return nil
	}
	err := c.acct.Session.Update(func(tx writer.Tx) error {
		for conv, m := range c.sessions {
			_, err := tx.Exec(`INSERT OR REPLACE INTO SessionTable(username, type, unread_count, is_hidden, summary, draft, status,
				last_timestamp, sort_timestamp, last_msg_locald_id, last_msg_type, last_msg_sub_type, last_msg_sender,
				last_sender_display_name, last_msg_ext_type) VALUES(?, 0, ?, 0, ?, '', 0, ?, ?, ?, ?, 0, ?, ?, 0)`,
				conv.username, conv.unread, m.stored(), m.createTime, m.createTime, m.localID, typeText, m.sender, c.nicks[m.sender])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	clear(c.sessions)
	return nil
}
