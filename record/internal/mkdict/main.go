// Mkdict makes a zstd dictionary for records from invented ones of the common
// shapes. It was run once for each dictionary of the format; a dictionary that
// has been released is never made again.
//
//	go run ./record/internal/mkdict seal/dictionary-1.zdict
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"tidemark/record"
)

// The number by which a zstd frame names this dictionary ("TMK1").
const dictionaryID = 0x314b4d54

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mkdict FILE")
		os.Exit(2)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var samples [][]byte
	for range 4000 {
		samples = append(samples, append(sample(rng).AppendJSON(nil), '\n'))
	}
	// Whole records serve as history, the most common shape last, where references
	// to it are shortest; all the samples teach the entropy tables.
	var history []byte
	for _, s := range samples[:6] {
		history = append(history, s...)
	}
	d, err := zstd.BuildDict(zstd.BuildDictOptions{
		ID: dictionaryID, Contents: samples, History: history, Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest,
	})
	if err == nil {
		err = os.WriteFile(os.Args[1], d, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkdict: error:", err)
		os.Exit(1)
	}
}

var phrases = []string{
	"好的", "收到", "谢谢", "明天下午三点开会", "请查收附件", "报价单已经发到您邮箱", "可以", "没问题", "稍等一下", "在吗",
	"合同什么时候签", "客户那边确认了吗", "今天的行情怎么样", "我看一下再回复你", "周五之前给我", "辛苦了", "OK", "Thanks!",
	"Please confirm the order by 5pm", "Sounds good, see you tomorrow", "Can you send me the latest quote?", "已转发",
}

func sample(rng *rand.Rand) *record.Record {
	id := func(prefix string, n int) string {
		const letters = "abcdefghijklmnopqrstuvwxyz234567"
		b := []byte(prefix)
		for range n {
			b = append(b, letters[rng.IntN(len(letters))])
		}
		return string(b)
	}
	sent := time.Unix(1_760_000_000+rng.Int64N(40_000_000), 0).UTC()
	server := strconv.FormatInt(rng.Int64N(1<<62), 10)
	local := strconv.Itoa(1 + rng.IntN(30000))
	order := strconv.FormatInt(sent.Unix()*1000+rng.Int64N(20), 10)
	text := phrases[rng.IntN(len(phrases))]
	person, kind, room := id("wxid_", 14), "direct", ""
	conversation := person
	content := text
	if rng.IntN(2) == 0 {
		kind, room = "room", strconv.FormatInt(10_000_000_000+rng.Int64N(50_000_000_000), 10)+"@chatroom"
		conversation, content = room, person+":\n"+text
	}
	table := "Msg_" + fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())
	num := func(n int64) record.Value { return record.Value{Class: record.Integer, Int: n} }
	str := func(s string) record.Value { return record.Value{Class: record.Text, Bytes: []byte(s)} }
	serverInt, _ := strconv.ParseInt(server, 10, 64)
	localInt, _ := strconv.ParseInt(local, 10, 64)
	orderInt, _ := strconv.ParseInt(order, 10, 64)
	return &record.Record{
		V: 1, Kind: record.KindMessage, ID: id("m_", 26), Device: id("d_", 26),
		CapturedAt:   sent.Add(time.Duration(rng.IntN(900)) * time.Millisecond),
		Account:      &record.Party{ID: id("wxid_", 14), Name: "Chen"},
		Client:       &record.Client{App: "weixin", Generation: "4", OS: []string{"windows", "darwin", "linux"}[rng.IntN(3)]},
		Conversation: &record.Conversation{ID: conversation, Kind: kind, Name: "项目"},
		Sender:       &record.Sender{ID: person, Name: "王", Self: rng.IntN(3) == 0},
		SentAt:       sent, ServerID: server, LocalID: local, Order: order, Type: record.TypeText, Text: &text,
		Native: &record.Native{Type: 1}, Decoder: "weixin4/1",
		Source: &record.Source{File: "message/message_0.db", Table: table, Row: record.Row{
			{Name: "local_id", Value: num(localInt)}, {Name: "server_id", Value: num(serverInt)},
			{Name: "local_type", Value: num(1)}, {Name: "sort_seq", Value: num(orderInt)},
			{Name: "real_sender_id", Value: num(int64(rng.IntN(40)))}, {Name: "create_time", Value: num(sent.Unix())},
			{Name: "status", Value: num([]int64{2, 3, 4}[rng.IntN(3)])}, {Name: "upload_status", Value: num(0)},
			{Name: "download_status", Value: num(0)}, {Name: "server_seq", Value: num(700_000_000 + rng.Int64N(90_000_000))},
			{Name: "origin_source", Value: num(1)}, {Name: "source", Value: str("<msgsource></msgsource>")},
			{Name: "message_content", Value: str(content)}, {Name: "compress_content", Value: record.Value{}},
			{Name: "packed_info_data", Value: record.Value{}}, {Name: "WCDB_CT_message_content", Value: num(0)},
			{Name: "WCDB_CT_source", Value: num(0)},
		}},
	}
}
