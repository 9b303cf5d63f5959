// Package archivetest makes what tests of the archive send: devices with real
// identities, and real sealed batches of real records.
package archivetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"tidemark/record"
	"tidemark/seal"
)

// Time is when everything in tests happens, by the devices' clocks.
var Time = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// Device is a device that seals for one archive. It is not safe for concurrent use.
type Device struct {
	Identity *seal.Identity
	t        testing.TB
	archive  *seal.Archive
	chains   map[seal.Lane]*chain
}

type chain struct {
	key     *seal.DataKey
	carried bool
	seq     uint64
	hash    seal.Hash
}

// NewDevice makes a device with an identity of its own.
func NewDevice(t testing.TB, a *seal.Archive) *Device {
	return &Device{Identity: seal.NewIdentity(), t: t, archive: a, chains: map[seal.Lane]*chain{}}
}

// ID returns the device's id.
func (d *Device) ID() seal.DeviceID { return d.Identity.ID() }

func (d *Device) chain(lane seal.Lane) *chain {
	c := d.chains[lane]
	if c == nil {
		c = &chain{}
		d.chains[lane] = c
		d.Rotate(lane)
	}
	return c
}

// Rotate begins a new data key, whose header the next batch carries.
func (d *Device) Rotate(lane seal.Lane) {
	key, err := seal.NewDataKey(d.archive, d.ID(), lane, Time)
	if err != nil {
		d.t.Fatal(err)
	}
	c := d.chain(lane)
	c.key, c.carried = key, false
}

// Seal seals lines as the lane's next batch.
func (d *Device) Seal(lane seal.Lane, lines ...[]byte) *seal.Batch {
	c := d.chain(lane)
	b := d.seal(c, seal.Header{Lane: lane, Seq: c.seq + 1, Previous: c.hash, Records: uint32(len(lines))}, lines)
	c.seq, c.hash, c.carried = b.Seq, b.Hash(), true
	return b
}

// Fork seals lines as a batch at the place of the lane's last one, which it
// leaves the last one: what a cloned device would send.
func (d *Device) Fork(lane seal.Lane, last *seal.Batch, lines ...[]byte) *seal.Batch {
	c := d.chain(lane)
	return d.seal(c, seal.Header{Lane: lane, Seq: last.Seq, Previous: last.Previous, Records: uint32(len(lines))}, lines)
}

// Lose makes the lane's next n batches disappear: they are sealed and nobody has them.
// It returns the restart with which the lane goes on behind them. With carry, the key
// headers that were lost with them stand in the restart.
func (d *Device) Lose(lane seal.Lane, n int, carry bool) *seal.Restart {
	c := d.chain(lane)
	from := c.seq
	for range n {
		d.Seal(lane, []byte("{}"))
	}
	r := &seal.Restart{Lane: lane, Reason: seal.Damaged, Made: Time, Seen: c.seq, First: c.seq + 1}
	if carry {
		r.KeyHeaders = [][]byte{c.key.Header}
	}
	if from == 0 {
		r.First = max(r.First, 2)
	}
	if err := r.Sign(d.Identity); err != nil {
		d.t.Fatal(err)
	}
	c.seq, c.hash = r.First-1, r.Hash()
	return r
}

func (d *Device) seal(c *chain, h seal.Header, lines [][]byte) *seal.Batch {
	var plain []byte
	for _, l := range lines {
		plain = append(append(plain, l...), '\n')
	}
	payload, counter, err := c.key.Seal(seal.Compress(plain))
	if err != nil {
		d.t.Fatal(err)
	}
	h.Device, h.Key, h.Sealed, h.Counter = d.ID(), c.key.ID, Time, counter
	header := c.key.Header
	if c.carried {
		header = nil
	}
	b, err := seal.NewBatch(d.Identity, h, header, payload)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// Text returns message n of a conversation of account wxid_me, as the device of
// that id captured it.
func Text(device seal.DeviceID, conversation string, n int, text string) []byte {
	server := fmt.Sprint(7613000000000000000 + n)
	r := record.Record{
		V: record.Version, Kind: record.KindMessage, ID: record.MessageID("wxid_me", conversation, server),
		Device: device.String(), CapturedAt: Time.Add(time.Duration(n) * time.Millisecond),
		Account:      &record.Party{ID: "wxid_me", Name: "Me"},
		Client:       &record.Client{App: "weixin", Generation: "4", OS: "windows"},
		Conversation: &record.Conversation{ID: conversation, Kind: "room", Name: "项目组"},
		Sender:       &record.Sender{ID: "wxid_x", Name: "张三"},
		SentAt:       Time.Add(time.Duration(n) * time.Second), ServerID: server, LocalID: fmt.Sprint(n),
		Order: fmt.Sprint(1763884799000 + n), Type: record.TypeText, Text: &text,
		Native: &record.Native{Type: 1}, Decoder: "weixin4/1",
		Source: &record.Source{File: "message/message_0.db", Table: "Msg_0123456789abcdef0123456789abcdef", Row: record.Row{
			{Name: "local_id", Value: record.Value{Class: record.Integer, Int: int64(n)}},
			{Name: "message_content", Value: record.Value{Class: record.Text, Bytes: []byte(text)}},
		}},
	}
	return r.AppendJSON(nil)
}

// Event returns an event of account wxid_me; the account is left out when severity
// is info.
func Event(device seal.DeviceID, event, severity string, detail map[string]string) []byte {
	r := record.Record{
		V: record.Version, Kind: record.KindEvent, ID: record.NewEventID(), Event: event, Severity: severity,
		Since: Time, Detail: detail, Device: device.String(), CapturedAt: Time,
	}
	if severity != record.SeverityInfo {
		r.Account = &record.Party{ID: "wxid_me"}
	}
	return r.AppendJSON(nil)
}

// Recovered returns the event that ends the state which the event began.
func Recovered(device seal.DeviceID, event []byte) []byte {
	of, err := record.Parse(event)
	if err != nil {
		panic(err) // only for what Event did not make
	}
	r := record.Record{
		V: record.Version, Kind: record.KindEvent, ID: record.NewEventID(), Of: of.ID, Event: record.EventRecovered,
		Severity: record.SeverityInfo, Since: of.Since, Device: device.String(), CapturedAt: Time, Account: of.Account,
	}
	return r.AppendJSON(nil)
}

// Lines joins lines as NDJSON.
func Lines(lines ...[]byte) string { return string(bytes.Join(lines, []byte{'\n'})) + "\n" }

// Pieces returns the media records that hold data in pieces of n bytes, of account
// wxid_me.
func Pieces(device seal.DeviceID, data []byte, n int) (lines [][]byte, sum string) {
	h := sha256.Sum256(data)
	sum = hex.EncodeToString(h[:])
	for off := 0; off < len(data); off += n {
		r := record.Record{
			V: record.Version, Kind: record.KindMedia, ID: record.PieceID("wxid_me", sum, int64(off)), Device: device.String(), CapturedAt: Time,
			Account: &record.Party{ID: "wxid_me"},
			Piece:   &record.Piece{SHA256: sum, Size: int64(len(data)), Offset: int64(off), Data: data[off:min(off+n, len(data))]},
		}
		lines = append(lines, r.AppendJSON(nil))
	}
	return lines, sum
}

// Medium returns the media record that links a content to message n of [Text].
func Medium(device seal.DeviceID, conversation string, n int, m record.Media) []byte {
	of := record.MessageID("wxid_me", conversation, fmt.Sprint(7613000000000000000+n))
	r := record.Record{
		V: record.Version, Kind: record.KindMedia, ID: record.MediaID(of, m), Of: of, Device: device.String(), CapturedAt: Time,
		Account: &record.Party{ID: "wxid_me"}, Media: []record.Media{m},
	}
	return r.AppendJSON(nil)
}
