package chat

import (
	"math/rand/v2"
	"strconv"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// Base types of a row.
const (
	typeText    = 1
	typeNotice  = 10000
	typeControl = 10002
)

// Delivery states of a row.
const (
	statusSending  = 1
	statusSent     = 2
	statusReceived = 4
)

// conversation is one chat and what is known of its table.
type conversation struct {
	username string
	table    string
	members  []string // of a room, without the owner of the account; nil for one person
	created  bool     // the table exists
	lastSeq  int64    // greatest sort_seq
	unread   int
}

func (c *conversation) room() bool { return c.members != nil }

// message is one message as it is in its row, or will be.
type message struct {
	conv       *conversation
	localID    int64 // 0 until inserted
	serverID   int64 // what the server calls it
	known      bool  // the row has the server id
	sortSeq    int64
	createTime int64 // Unix seconds
	sender     string
	self       bool
	text       string
	source     string
	packed     bool // the row is written compressed
	packLater  bool // a background step compresses it
	recall     bool // somebody will recall it
}

// stored is message_content: rows of others in a room begin with their sender.
func (m *message) stored() string {
	if m.conv.room() && !m.self {
		return m.sender + ":\n" + m.text
	}
	return m.text
}

// rowServerID is server_id as it stands in the row.
func (m *message) rowServerID() int64 {
	if m.known {
		return m.serverID
	}
	return 0
}

// change describes m for the oracle.
func (m *message) change(op string, localType int64, text string) oracle.Change {
	return oracle.Change{
		Op: op, File: account.MessageFile, Table: m.conv.table, LocalID: strconv.FormatInt(m.localID, 10),
		ServerID: strconv.FormatInt(m.rowServerID(), 10), Conversation: m.conv.username, Sender: m.sender, Self: m.self,
		Type: localType, CreateTime: m.createTime, SortSeq: strconv.FormatInt(m.sortSeq, 10), Text: text,
	}
}

// speaker decides who says what where. All of its decisions come from one
// generator, and from nothing else: the same seed says the same.
type speaker struct {
	r        *rand.Rand
	self     string
	convs    []*conversation
	weights  []int // cumulated
	compress float64
	recall   float64
}

func newSpeaker(r *rand.Rand, self string, convs []*conversation, compress, recall float64) *speaker {
	s := &speaker{r: r, self: self, convs: convs, compress: compress, recall: recall}
	sum := 0
	for range convs { // some talk much more than others
		sum += 1 + s.r.IntN(20)
		s.weights = append(s.weights, sum)
	}
	return s
}

// next is the next message, without times and local id.
func (s *speaker) next() *message {
	conv := s.convs[s.find(s.r.IntN(s.weights[len(s.weights)-1]))]
	m := &message{conv: conv, serverID: s.r.Int64N(1<<63-1) + 1}
	m.self = conv.username == account.FileHelper || s.r.IntN(3) == 0
	switch {
	case m.self:
		m.sender = s.self
	case conv.room():
		m.sender = pick(s.r, conv.members)
	default:
		m.sender = conv.username
	}
	m.text = text(s.r)
	m.source = messageSource(s.r, len(conv.members))
	if s.r.Float64() < s.compress {
		m.packed = s.r.IntN(2) == 0
		m.packLater = !m.packed
	}
	m.recall = s.r.Float64() < s.recall
	return m
}

// find is the index of the conversation whose weight covers n.
func (s *speaker) find(n int) int {
	for i, w := range s.weights {
		if n < w {
			return i
		}
	}
	return len(s.weights) - 1
}

// stamp gives m its times: sort_seq is the second with a counter behind it, and
// grows within a conversation even when the second's counter is used up.
func (m *message) stamp(second int64) {
	m.createTime = second
	m.sortSeq = max(second*1000, m.conv.lastSeq+1)
	m.conv.lastSeq = m.sortSeq
}

// insert writes m, and whatever must exist for it: its table, its sender's name.
func (c *Client) insert(tx writer.Tx, m *message) error {
	if err := c.ensureTable(tx, m.conv); err != nil {
		return err
	}
	sender, err := c.nameID(tx, m.sender)
	if err != nil {
		return err
	}
	var content, source any = m.stored(), m.source
	var contentMark, sourceMark any
	if m.packed {
		content, source = c.zstd.EncodeAll([]byte(m.stored()), nil), c.zstd.EncodeAll([]byte(m.source), nil)
		contentMark, sourceMark = account.CompressZstd, account.CompressZstd
	}
	status := statusReceived
	if m.self {
		status = statusSending
		if m.known {
			status = statusSent
		}
	}
	res, err := tx.Exec(`INSERT INTO `+m.conv.table+`(server_id, local_type, sort_seq, real_sender_id, create_time, status,
		upload_status, download_status, server_seq, origin_source, source, message_content, compress_content, packed_info_data,
		WCDB_CT_message_content, WCDB_CT_source) VALUES(?, ?, ?, ?, ?, ?, 0, 0, ?, 1, ?, ?, NULL, ?, ?, ?)`,
		m.rowServerID(), typeText, m.sortSeq, sender, m.createTime, status, m.sortSeq%1_000_000_000, source, content, c.packedInfo,
		contentMark, sourceMark)
	if err != nil {
		return err
	}
	m.localID, err = res.LastInsertId()
	return err
}

// ensureTable creates the table of a conversation with its first message.
func (c *Client) ensureTable(tx writer.Tx, conv *conversation) error {
	if conv.created {
		return nil
	}
	for _, s := range account.MessageTable(conv.table) {
		if _, err := tx.Exec(s); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT INTO Name2Id(user_name, is_session) VALUES(?, 1)
		ON CONFLICT(user_name) DO UPDATE SET is_session = 1`, conv.username); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO wcdb_builtin_compression_record VALUES(?, 'message_content,source', 0)`, conv.table); err != nil {
		return err
	}
	conv.created = true
	return nil
}

// nameID is the row of a username in Name2Id, which it creates when needed.
func (c *Client) nameID(tx writer.Tx, username string) (int64, error) {
	if id, ok := c.names[username]; ok {
		return id, nil
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO Name2Id(user_name, is_session) VALUES(?, 0)`, username); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.QueryRow(`SELECT rowid FROM Name2Id WHERE user_name = ?`, username).Scan(&id); err != nil {
		return 0, err
	}
	c.names[username] = id
	return id, nil
}
