package index

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tidemark/archive/store"
	"tidemark/record"
	"tidemark/seal"
)

// message returns the JSON of a message of ordinary size.
func message(n int) []byte {
	text := fmt.Sprintf("明天上午十点在三楼会议室开会，请大家准时参加。Message number %d, see you there.", n)
	conversation := fmt.Sprintf("%d@chatroom", n%200)
	id := fmt.Sprint(7613000000000000000 + n)
	r := record.Record{
		V: record.Version, Kind: record.KindMessage, ID: record.MessageID("wxid_me", conversation, id),
		Device: "d_aaaaaaaaaaaaaaaaaaaaaaaaaa", CapturedAt: time.UnixMilli(1795420800000 + int64(n)),
		Account: &record.Party{ID: "wxid_me", Name: "Me"}, Client: &record.Client{App: "weixin", Generation: "4", OS: "windows"},
		Conversation: &record.Conversation{ID: conversation, Kind: "room", Name: "项目组"},
		Sender:       &record.Sender{ID: fmt.Sprintf("wxid_%d", n%50), Name: "张三"},
		SentAt:       time.Unix(1795420800+int64(n), 0), ServerID: id, LocalID: fmt.Sprint(n), Order: fmt.Sprint(1795420800000 + n),
		Type: record.TypeText, Text: &text, Native: &record.Native{Type: 1}, Decoder: "weixin4/1",
		Source: &record.Source{File: "message/message_0.db", Table: "Msg_0123456789abcdef0123456789abcdef", Row: record.Row{
			{Name: "local_id", Value: record.Value{Class: record.Integer, Int: int64(n)}},
			{Name: "server_id", Value: record.Value{Class: record.Integer, Int: 7613000000000000000 + int64(n)}},
			{Name: "local_type", Value: record.Value{Class: record.Integer, Int: 1}},
			{Name: "sort_seq", Value: record.Value{Class: record.Integer, Int: 1795420800000 + int64(n)}},
			{Name: "message_content", Value: record.Value{Class: record.Text, Bytes: []byte(text)}},
			{Name: "packed_info_data", Value: record.Value{Class: record.Blob, Bytes: []byte("0123456789")}},
		}},
	}
	return r.AppendJSON(nil)
}

// BenchmarkAdd measures deriving and adding records, in batches of 4096, to an
// index that grows; records/s is for one core.
func BenchmarkAdd(b *testing.B) {
	x, err := Open(filepath.Join(b.TempDir(), "index.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	lane := store.Lane{Device: seal.NewIdentity().ID(), Lane: seal.Messages}
	n, seq := 0, uint64(0)
	lines := make([][]byte, 4096)
	for b.Loop() {
		b.StopTimer()
		for i := range lines {
			lines[i] = message(n)
			n++
		}
		b.StartTimer()
		seq++
		e := Entry{Batch: Batch{Lane: lane, Seq: seq, Records: 4096}}
		for i, line := range lines {
			row, err := Derive(line)
			if err != nil {
				b.Fatal(err)
			}
			row.Line = i
			e.Rows = append(e.Rows, row)
		}
		if err := x.Add(e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(len(lines[0])), "bytes/record")
}

// BenchmarkDerive measures reading one record.
func BenchmarkDerive(b *testing.B) {
	line := message(7)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := Derive(line); err != nil {
			b.Fatal(err)
		}
	}
}
