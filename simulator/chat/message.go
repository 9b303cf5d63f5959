package chat

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/kinds"
	"tidemark/simulator/oracle"
)

// Base types of a row.
const (
	typeText    = 1
	typeApp     = 49
	typeNotice  = 10000
	typeControl = 10002
)

// baseMask leaves the base type of a type.
const baseMask = 0xffffffff

// Delivery states of a row.
const (
	statusSending  = 1
	statusSent     = 2
	statusReceived = 4
)

// conversation is one chat.
type conversation struct {
	username string
	members  []string // of a room, without the owner of the account; nil for one person
	lastSeq  int64    // greatest order
	unread   int
	pending  int       // own messages that wait for the server's answer
	epoch    int       // how often it was cleared
	spoken   time.Time // when the last message was committed, in this run
}

func (c *conversation) official() bool { return strings.HasPrefix(c.username, "gh_") }

func (c *conversation) room() bool { return c.members != nil }

// message is one message as it is in its row, or will be.
type message struct {
	conv       *conversation
	shard      *shard // set when it is placed
	table      string
	localID    int64 // 0 until inserted
	serverID   int64 // what the server calls it
	known      bool  // the row has the server id
	sortSeq    int64
	createTime int64 // Unix seconds
	sender     string
	self       bool
	localType  int64  // sub type << 32 | base type
	content    string // a text, or the XML of other types
	source     string
	packed     bool // the row is written compressed
	packLater  bool // a background step compresses it
	recall     bool // somebody will recall it

	spoken  time.Time
	epoch   int         // of the conversation, when it was said
	removed bool        // its row has been deleted
	item    *kinds.Item // of any kind; nil for a text that a speaker said
}

// gone reports whether the row is no longer there.
func (m *message) gone() bool { return m.removed || m.epoch != m.conv.epoch }

// stored is message_content: rows of others in a room begin with their sender.
func (m *message) stored() string {
	if m.conv.room() && !m.self && !m.notice() {
		return m.sender + ":\n" + m.content
	}
	return m.content
}

// notice reports whether m is a line of the client's own.
func (m *message) notice() bool { return m.base() == typeNotice || m.base() == typeControl }

func (m *message) base() int64 { return m.localType & baseMask }
func (m *message) sub() int64  { return m.localType >> 32 }

// status is the row's delivery state.
func (m *message) status() int {
	switch {
	case !m.self:
		return statusReceived
	case m.known:
		return statusSent
	}
	return statusSending
}

// rowServerID is server_id as it stands in the row.
func (m *message) rowServerID() int64 {
	if m.known {
		return m.serverID
	}
	return 0
}

// change describes m for the oracle.
func (m *message) change(op string) oracle.Change {
	ch := oracle.Change{
		Op: op, File: m.shard.file, Table: m.table, LocalID: strconv.FormatInt(m.localID, 10),
		ServerID: strconv.FormatInt(m.rowServerID(), 10), Conversation: m.conv.username, Sender: m.sender, Self: m.self,
		Type: m.localType, CreateTime: m.createTime, SortSeq: strconv.FormatInt(m.sortSeq, 10), Text: m.content,
	}
	if m.localType == unseenType {
		ch.Kind, ch.Text, ch.Content = "unknown", "", m.content
	}
	m.describe(&ch)
	return ch
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
	m.self = conv.username == account.FileHelper || s.r.IntN(3) == 0 && !conv.official()
	switch {
	case m.self:
		m.sender = s.self
	case conv.room():
		m.sender = pick(s.r, conv.members)
	default:
		m.sender = conv.username
	}
	m.localType, m.content = typeText, text(s.r)
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
	m.order(second)
}

func (m *message) order(second int64) {
	m.sortSeq = max(second*1000, m.conv.lastSeq+1)
	m.conv.lastSeq = m.sortSeq
}
