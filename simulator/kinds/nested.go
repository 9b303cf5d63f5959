package kinds

import (
	"fmt"
	"strings"
	"time"
)

// entry is one item of a merged forward.
type entry struct {
	datatype int64
	typ      string // Tidemark's; "" when not promised
	inner    string // elements
	expect   []any  // of the item, beside its type
}

// recordinfo is the document of a merged forward. The ids of the items are given, or made.
func (c *composer) recordinfo(title, desc string, entries []entry, ids ...string) (string, []any) {
	var list []any
	var b strings.Builder
	for i, e := range entries {
		id := c.hex(32)
		if i < len(ids) {
			id = ids[i]
		}
		who, when := c.Members[i%len(c.Members)].Name, fmt.Sprintf("2026-11-03 09:%02d:00", i)
		fmt.Fprintf(&b, `<dataitem %s>%s<sourcename>%s</sourcename><sourceheadurl>https://head.example.com/%s</sourceheadurl><sourcetime>%s</sourcetime>`+
			`<srcMsgCreateTime>%d</srcMsgCreateTime><fromnewmsgid>%d</fromnewmsgid><dataitemsource><hashusername>%s</hashusername></dataitemsource></dataitem>`,
			c.attrs("datatype", e.datatype, "dataid", id, "htmlid", c.hex(8)), e.inner, esc(who), c.hex(6), when, c.Time.Unix()-int64(600-i), c.Rand.Uint64()>>1, c.hex(64))
		x := fields(append([]any{"data_type", e.datatype, "id", id, "sender", who, "sent_at", when}, e.expect...)...)
		if e.typ != "" {
			x["type"] = e.typ
		}
		list = append(list, x)
	}
	return fmt.Sprintf(`<recordinfo><fromscene>0</fromscene><favusername>%s</favusername><favcreatetime>0</favcreatetime><isChatRoom>1</isChatRoom><title>%s</title><desc>%s</desc>`+
		`<datalist count="%d">%s</datalist></recordinfo>`, c.Peer.Username, esc(title), esc(desc), len(entries), b.String()), list
}

// one element with text
func el(name, value string) string { return "<" + name + ">" + esc(value) + "</" + name + ">" }

// entries is an item of every datatype. hashes are those of a picture, a video and a file.
func (c *composer) entries(hashes [3]string) []entry {
	nested, inside := c.recordinfo("内层聊天记录", "甲: 一\n乙: [图片]", []entry{
		{1, "text", el("datadesc", "里面的一句话 <&>"), []any{"text", "里面的一句话 <&>"}},
		{2, "image", el("datafmt", "jpg") + el("datasize", "999") + el("fullmd5", c.hex(32)), []any{"format", "jpg", "bytes", int64(999)}},
	})
	file := func(format, size, md5 string) string {
		return el("datafmt", format) + el("datasize", size) + el("fullmd5", md5) + el("head256md5", c.hex(32)) +
			el("cdndataurl", "3057020100044b"+c.hex(20)) + el("cdndatakey", c.hex(32))
	}
	return []entry{
		{2, "image", file("jpg", "30211", hashes[0]) + el("thumbfullmd5", c.hex(32)), []any{"format", "jpg", "bytes", int64(30211), "md5", hashes[0]}},
		{4, "video", file("mp4", "61440", hashes[1]) + el("duration", "14"), []any{"format", "mp4", "bytes", int64(61440), "md5", hashes[1]}},
		{8, "file", el("datatitle", "报价 Q4.pdf") + file("pdf", "20480", hashes[2]), []any{"title", "报价 Q4.pdf", "format", "pdf", "bytes", int64(20480), "md5", hashes[2]}},
		{1, "text", el("datadesc", "第一行\n第二行 👍 <b>"), []any{"text", "第一行\n第二行 👍 <b>"}},
		{3, "voice", file("silk", "4210", c.hex(32)) + el("duration", "3120"), []any{"format", "silk"}},
		{5, "link", el("datatitle", "集装箱运价") + el("datadesc", "摘要") + el("link", "https://mp.example.com/s/5?a=1&b=2") +
			"<weburlitem>" + el("title", "集装箱运价") + el("link", "https://mp.example.com/s/5?a=1&b=2") + el("desc", "摘要") + "<type>5</type></weburlitem>",
			[]any{"title", "集装箱运价", "url", "https://mp.example.com/s/5?a=1&b=2"}},
		{6, "location", "<locitem>" + el("lat", "22.5") + el("lng", "113.9") + el("scale", "15") + el("label", "深圳市示例路1号") + el("poiname", "码头") + "</locitem>", nil},
		{17, "forward", el("datatitle", "内层聊天记录") + el("datadesc", "甲: 一\n乙: [图片]") + "<recordxml>" + nested + "</recordxml>",
			[]any{"forward", fields("title", "内层聊天记录", "items", inside)}},
		{19, "miniprogram", el("datatitle", "订单 42") + "<appbranditem>" + el("username", "gh_1@app") + el("appid", "wx1") + el("sourcedisplayname", "示例仓储") +
			"<type>2</type></appbranditem>", []any{"title", "订单 42"}},
		{22, "channel", "<finderFeed>" + el("objectId", "1") + el("nickname", "港口日记") + el("desc", "凌晨四点") + "</finderFeed>", nil},
		{23, "channel", "<finderLive>" + el("finderLiveID", "2") + el("nickname", "示例直播间") + el("desc", "答疑") + "</finderLive>", nil},
		{32, "music", el("datatitle", "夜航") + el("datadesc", "示例乐队") + el("streamweburl", "https://music.example.com/32"), []any{"title", "夜航"}},
		{37, "sticker", "<emojiitem>" + el("md5", c.hex(32)) + "</emojiitem>", nil},
		{999, "unknown", el("datatitle", "未知条目"), []any{"title", "未知条目"}},
	}
}

func (c *composer) forwards() {
	const title, desc = "群聊的聊天记录", "王伟: 你好\n李娜: [图片]"
	forward := func(name, typ string, sub int64, escaped bool) {
		it := c.item(name, typ, 49, sub)
		ids := [3]string{c.hex(32), c.hex(32), c.hex(32)}
		hashes := [3]string{c.hex(32), c.hex(32), c.hex(32)}
		if c.v4() && sub == 19 {
			a, sums := c.maker(it).Forwarded("报价 Q4.pdf", ids)
			it.attach(a)
			hashes = sums
		}
		doc, items := c.recordinfo(title, desc, c.entries(hashes), ids[:]...)
		record := cdata(doc)
		if escaped {
			record = esc(doc)
		}
		it.Content = c.message(it, app{typ: sub, title: title, des: desc, url: "https://support.example.com/update", record: record})
		it.Expect = body("forward", "title", title, "description", desc, "items", items)
		c.add(it)
	}
	forward("forward", "forward", 19, false)
	forward("forward/escaped", "forward", 19, true)
	forward("forward/40", "forward", 40, false)

	it := c.item("note", "note", 49, 24)
	doc, items := c.recordinfo("会议纪要", "第一点\n第二点", []entry{
		{1, "text", el("datadesc", "第一点:运费 & 税"), []any{"text", "第一点:运费 & 税"}},
		{8, "file", el("datatitle", "附件.pdf") + el("datafmt", "pdf") + el("datasize", "1024"), []any{"title", "附件.pdf", "format", "pdf"}},
	})
	it.Content = c.message(it, app{typ: 24, title: "会议纪要", des: "第一点\n第二点", record: cdata(doc)})
	it.Expect = body("forward", "items", items)
	c.add(it)
	c.app("note/bare", "note", app{typ: 24, title: "笔记", des: "没有记录条目的笔记"}, nil)
}

func (c *composer) quotes() {
	quote := func(name, text, typ string, native int64, content, shown string, of Person, in string, serverID int64) {
		it := c.item(name, "quote", 49, 57)
		from, chat := of.Username, c.Peer.Username
		if in == c.Room {
			it.in(c.Room, c.Members[1])
			from, chat = c.Room, of.Username
		}
		sent := it.Time.Add(-3 * time.Minute)
		it.Content = c.message(it, app{typ: 57, title: text, more: fmt.Sprintf(`<refermsg>
			<type>%d</type>
			<svrid>%d</svrid>
			<fromusr>%s</fromusr>
			<chatusr>%s</chatusr>
			<displayname>%s</displayname>
			<msgsource>%s</msgsource>
			<content>%s</content>
			<strid></strid>
			<createtime>%d</createtime>
		</refermsg>`, native, uint64(serverID), from, chat, c.text(of.Name), esc("<msgsource><silence>0</silence></msgsource>"), esc(content), sent.Unix())})
		it.Text, it.QuoteOf = text, fmt.Sprint(serverID)
		e := fields("server_id", it.QuoteOf, "type", typ, "sent_at", sent.UTC().Format(time.RFC3339), "sender", fields("id", of.Username, "name", of.Name))
		if shown != "" {
			e["text"] = shown
		}
		it.Expect = map[string]any{"quote": e}
		c.add(it)
	}
	for _, q := range []struct {
		quoted, name, typ, text, shown string
		of                             Person
	}{
		{"text", "quote/text", "text", "同意 👍 <ok>", "", c.Peer},
		{"text/room", "quote/text in room", "text", "好的,我来跟进", "", c.Members[0]},
		{"image", "quote/image", "image", "这张图清楚吗?", "", c.Peer},
		{"link", "quote/link", "link", "already read it", "Q4 航运市场观察 <Review>", c.Peer},
		{"file", "quote/file", "file", "第三页有误", "", c.Peer},
	} {
		it := c.named(q.quoted)
		shown := q.shown
		switch q.typ {
		case "text":
			shown = it.Content
		case "file":
			shown = it.Expect["file"].(map[string]any)["name"].(string)
		}
		quote(q.name, q.text, q.typ, it.Base, it.Content, shown, q.of, it.Conversation, it.ServerID)
	}
}

// named is an item composed before.
func (c *composer) named(name string) Item {
	for _, it := range c.items {
		if it.Name == name {
			return it
		}
	}
	panic("kinds: no item " + name)
}
