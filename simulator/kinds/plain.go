package kinds

import (
	"fmt"
	"time"

	"tidemark/simulator/media"
)

func (c *composer) texts() {
	plain := func(name, s string) *Item {
		it := c.item(name, "text", 1, 0)
		it.Content, it.Text = s, s
		return it
	}
	c.add(plain("text", c.pick("好的,合同今天下午寄出", "Morning! The signed copy is on its way.")))
	c.add(plain("text/emoji", "收到👌🏽 [微笑] 👨‍👩‍👧‍👦 \"quoted\" 'n' ✅"))
	c.add(plain("text/lines", "note:\nfirst line is not a sender\n\nthird"))
	c.add(plain("text/markup", "<b>not html</b> & so on <msg>"))
	own := plain("text/own", c.pick("没问题", "Sure"))
	own.Sender = c.Owner.Username
	c.add(own)
	c.add(plain("text/room", "wxid_notasender:\n大家好").in(c.Room, c.Members[0]))

	two := []string{c.Members[1].Username, c.Members[2].Username}
	at := plain("text/mention", fmt.Sprintf("@%s\u2005@%s\u2005请确认", c.Members[1].Name, c.Members[2].Name)).in(c.Room, c.Members[0])
	at.Mentions, at.Source = two, c.source(at, two)
	c.add(at)
	all := plain("text/mention all", "@所有人\u2005明天九点开会").in(c.Room, c.Members[0])
	all.Mentions, all.Source = []string{"notify@all"}, c.source(all, []string{"notify@all"})
	c.add(all)
}

// image is a picture with its files.
func (c *composer) image(name string, o media.Image, e media.Encoding) *Item {
	it := c.item(name, "image", 3, 0)
	c.fillImage(it, o, e, "")
	return it
}

func (c *composer) fillImage(it *Item, o media.Image, e media.Encoding, more string) {
	m := c.maker(it)
	m.Images = e
	a := m.Image(o)
	it.attach(a)
	hd := ""
	if o.HD {
		hd = fmt.Sprintf(` hdlength="%d"`, a.Size)
	}
	it.Content = c.shape(fmt.Sprintf("<msg>\n\t<img %s%s />\n\t%s\n</msg>", c.attrs("aeskey", c.hex(32), "encryver", 1, "cdnthumbaeskey", c.hex(32),
		"cdnthumburl", "305f0201000458"+c.hex(40), "cdnthumblength", 5123, "cdnthumbheight", 120, "cdnthumbwidth", 90, "cdnmidheight", 0, "cdnmidwidth", 0,
		"cdnhdheight", 0, "cdnhdwidth", 0, "cdnmidimgurl", "305f0201000458"+c.hex(40), "length", a.Size, "md5", a.MD5), hd, more))
	it.Expect = body("image", "md5", a.MD5, "bytes", a.Size)
}

func (c *composer) pictures() {
	c.add(c.image("image", media.Image{}, ""))
	own := c.item("image/own", "image", 3, 0)
	own.Sender = c.Owner.Username
	c.fillImage(own, media.Image{}, "", "")
	c.add(own)
	room := c.item("image/room", "image", 3, 0).in(c.Room, c.Members[0])
	c.fillImage(room, media.Image{}, "", "")
	c.add(room)
	for _, f := range []media.Format{media.PNG, media.GIF, media.WXGF} {
		c.add(c.image("image/"+string(f), media.Image{Format: f}, ""))
	}
	c.add(c.image("image/late", media.Image{Have: media.Late, Delay: 3 * time.Second}, ""))
	c.add(c.image("image/thumbnail only", media.Image{Have: media.Thumbnail}, ""))
	c.add(c.image("image/never", media.Image{Have: media.Nothing}, ""))
	if c.Gen != media.W3 {
		c.add(c.image("image/hd", media.Image{HD: true}, ""))
	}
	if c.Gen != media.M3 {
		c.add(c.image("image/by row", media.Image{Found: media.ByPacked}, ""))
		c.add(c.image("image/by hardlink", media.Image{Found: media.ByHardlink}, ""))
	}
	if c.v4() {
		c.add(c.image("image/by resource", media.Image{Found: media.ByResource}, ""))
		c.add(c.image("image/by name", media.Image{Found: media.ByName}, ""))
		c.add(c.image("image/_W", media.Image{Suffix: "_W"}, ""))
		c.add(c.image("image/_NW", media.Image{Suffix: "_NW"}, ""))
		c.add(c.image("image/xor", media.Image{}, media.XOR))
		c.add(c.image("image/v1", media.Image{}, media.V1))
		sub := c.item("image/sub type", "image", 3, 1)
		c.fillImage(sub, media.Image{}, "", "")
		c.add(sub)
	}
	group := c.hex(32)
	for i := range 3 {
		it := c.item(fmt.Sprintf("image/group %d", i+1), "image", 3, 0)
		c.fillImage(it, media.Image{}, "", fmt.Sprintf("<groupinfo><id>%s</id><type>1</type><count>3</count></groupinfo>", group))
		it.Expect["image"].(map[string]any)["group"] = group
		c.add(it)
	}
}

func (c *composer) voice(name string, pieces int, have media.Have) *Item {
	it := c.item(name, "voice", 34, 0)
	ms := 1000 + c.Rand.IntN(9000)
	a := c.maker(it).Voice(ms, pieces, have)
	it.attach(a)
	it.Content = fmt.Sprintf("<msg><voicemsg %s /></msg>", c.attrs("endflag", 1, "cancelflag", 0, "forwardflag", 0, "voiceformat", 4, "voicelength", ms,
		"length", a.Size, "bufid", c.Rand.Int64(), "aeskey", c.hex(32), "voiceurl", "3052020100044b"+c.hex(30), "clientmsgid", "41"+c.hex(30)+c.Peer.Username+"_1",
		"fromusername", c.Peer.Username))
	it.Expect = body("voice", "milliseconds", int64(ms), "bytes", a.Size)
	return it
}

func (c *composer) voices() {
	c.add(c.voice("voice", 1, media.All))
	c.add(c.voice("voice/never", 1, media.Nothing))
	if c.v4() {
		c.add(c.voice("voice/pieces", 3, media.All))
	}
	if c.Gen == media.W3 {
		return // where it keeps a transcript is not known
	}
	it := c.voice("voice/transcript", 1, media.All)
	it.Transcript = c.pick("周三之前把发票寄给我", "Please send me the invoice before Wednesday.")
	if c.v4() {
		it.Packed = media.Packed{Transcript: it.Transcript}.Bytes()
	}
	it.Expect["voice"].(map[string]any)["transcript"] = it.Transcript
	c.add(it)
}

func (c *composer) video(name string, base int64, o media.Video) *Item {
	it := c.item(name, "video", base, 0)
	a := c.maker(it).Video(o)
	it.attach(a)
	seconds := int64(2 + c.Rand.IntN(60))
	it.Content = c.shape(fmt.Sprintf("<msg>\n\t<videomsg %s />\n</msg>", c.attrs("aeskey", c.hex(32), "cdnvideourl", "3056020100044a"+c.hex(30), "cdnthumbaeskey", c.hex(32),
		"cdnthumburl", "3056020100044a"+c.hex(30), "length", a.Size, "playlength", seconds, "cdnthumblength", 7310, "cdnthumbwidth", 224, "cdnthumbheight", 398,
		"fromusername", c.Peer.Username, "md5", a.MD5, "newmd5", c.hex(32), "isplaceholder", 0, "rawmd5", "", "rawlength", 0, "cdnrawvideourl", "", "isad", 0)))
	it.Expect = body("video", "md5", a.MD5, "bytes", a.Size, "seconds", seconds)
	return it
}

func (c *composer) videos() {
	c.add(c.video("video", 43, media.Video{}))
	c.add(c.video("video/cover only", 43, media.Video{Have: media.Thumbnail}))
	c.add(c.video("video/never", 43, media.Video{Have: media.Nothing}))
	c.add(c.video("video/late", 43, media.Video{Have: media.Late, Delay: 3 * time.Second}))
	if c.Gen != media.M3 {
		c.add(c.video("video/by row", 43, media.Video{Found: media.ByPacked}))
		c.add(c.video("video/by hardlink", 43, media.Video{Found: media.ByHardlink}))
	}
	c.add(c.video("video/short", 62, media.Video{}))
}

func (c *composer) people() {
	who, name := c.Members[1], "欧阳 \"Lily\" & Co"
	card := func(variant string, base int64, username, alias string, more ...any) *Item {
		it := c.item(variant, "card", base, 0)
		it.Content = c.shape(fmt.Sprintf("<msg %s />\n", c.attrs(append([]any{"bigheadimgurl", "https://img.example.com/b/" + c.hex(8), "smallheadimgurl",
			"https://img.example.com/s/" + c.hex(8), "username", username, "nickname", name, "fullpy", "ouyang", "shortpy", "", "alias", alias, "imagestatus", 3,
			"scene", 17, "province", "Guangdong", "city", "Shenzhen", "sign", "", "sex", 2, "antispamticket", c.hex(16)}, more...)...)))
		it.Expect = body("card", "id", username, "name", name)
		return it
	}
	person := card("card", 42, who.Username, "lily_oy", "certflag", 0, "certinfo", "")
	person.Expect["card"].(map[string]any)["alias"] = "lily_oy"
	c.add(person)
	c.add(card("card/official", 42, "gh_"+c.hex(12), "", "certflag", 24, "certinfo", "示例科技"))
	for _, base := range []int64{42, 66} {
		it := card(fmt.Sprintf("card/wecom %d", base), base, fmt.Sprintf("2598498%09d@openim", c.Rand.IntN(1e9)), "",
			"openimappid", "3552365301", "openimdesc", "华东采购有限公司", "openimdescicon", "")
		it.Expect["card"].(map[string]any)["wecom"] = true
		c.add(it)
	}
	for _, base := range []int64{65, 67} {
		it := card(fmt.Sprintf("wecom %d", base), base, fmt.Sprintf("2598498%09d@openim", c.Rand.IntN(1e9)), "", "openimappid", "3552365301", "content", "我是华东采购的李娜")
		it.Type, it.Expect = "", nil // WeCom friend or hello: which is not known
		c.add(it)
	}

	it := c.item("friend request", "friendrequest", 37, 0)
	it.Conversation, it.Sender = "fmessage", "fmessage"
	it.Content = fmt.Sprintf("<msg %s><brandlist count=\"0\" ver=\"%d\"></brandlist></msg>", c.attrs("fromusername", who.Username, "encryptusername", "v3_"+c.hex(40)+"@stranger",
		"fromnickname", name, "content", "我是财务部的<陈>", "fullpy", "", "shortpy", "", "imagestatus", 3, "scene", 14, "country", "CN", "percard", 1, "sex", 1,
		"alias", "", "weibo", "", "snsflag", 1, "ticket", "v4_"+c.hex(30)+"@stranger", "opcode", 2), c.Rand.Uint32())
	it.Expect = body("friendrequest", "from", who.Username, "name", name, "text", "我是财务部的<陈>")
	c.add(it)

	md5 := c.hex(32)
	it = c.item("sticker", "sticker", 47, 0)
	url := "http://emoji.example.com/262/20304/stodownload?m=" + md5 + "&filekey=30350201&hy=SH"
	it.Content = fmt.Sprintf("<msg><emoji %s></emoji><gameext type=\"0\" content=\"0\" ></gameext></msg>", c.attrs("fromusername", c.Peer.Username, "tousername", c.Owner.Username,
		"type", 2, "idbuffer", "media:0_0", "md5", md5, "len", 32118, "productid", "com.tencent.example", "androidmd5", md5, "androidlen", 32118, "cdnurl", url,
		"designerid", "", "thumburl", "", "encrypturl", "http://emoji.example.com/"+c.hex(8)+"?a=1&b=2", "aeskey", c.hex(32), "width", 240, "height", 240))
	it.Expect = body("sticker", "md5", md5, "url", url, "bytes", int64(32118))
	c.add(it)
}

func (c *composer) places() {
	it := c.item("location", "location", 48, 0)
	it.Content = c.shape(fmt.Sprintf("<msg>\n\t<location %s />\n</msg>", c.attrs("x", "22.536450", "y", "113.974380", "scale", 16, "label", "深圳市南山区示例路1号 \"A座\" <北门>",
		"maptype", "roadmap", "poiname", "Harbour & Quay 大厦", "poiid", "qqmap_"+c.hex(12), "fromusername", c.Peer.Username)))
	it.Expect = body("location", "latitude", "22.536450", "longitude", "113.974380", "scale", "16", "label", "深圳市南山区示例路1号 \"A座\" <北门>", "name", "Harbour & Quay 大厦")
	c.add(it)
	it = c.item("location/live", "location", 49, 17)
	it.Content = c.message(it, app{typ: 17, title: "我发起了位置共享"})
	c.add(it)
}

func (c *composer) calls() {
	for _, v := range []struct {
		name, text string
		room       int
	}{
		{"call/voice", "通话时长 01:23", 1}, {"call/video", "Duration: 12:05", 0}, {"call/cancelled", "对方已取消", 1}, {"call/declined", "Call declined by user", 0},
	} {
		it := c.item(v.name, "call", 50, 0)
		it.Content = c.shape(fmt.Sprintf(`<voipmsg type="VoIPBubbleMsg">
	<VoIPBubbleMsg>
		<msg>%s</msg>
		<room_type>%d</room_type>
		<red_dot>false</red_dot>
		<roomid>%d</roomid>
		<roomkey>0</roomkey>
		<inviteid>%d</inviteid>
		<msg_type>100</msg_type>
		<timestamp>%d</timestamp>
		<identity>%s</identity>
		<duration>0</duration>
		<inviteid64>%d</inviteid64>
		<business>1</business>
		<caller_memberid>0</caller_memberid>
		<callee_memberid>1</callee_memberid>
	</VoIPBubbleMsg>
</voipmsg>`, cdata(v.text), v.room, c.Rand.Uint64()>>1, c.Rand.Uint32(), it.Time.UnixMilli(), cdata(c.hex(18)), it.Time.UnixMilli()))
		if c.Gen == media.W3 {
			it.Display = v.text
		}
		it.Expect = body("call", "text", v.text)
		c.add(it)
	}
}

func (c *composer) strange() {
	it := c.item("sync", "sync", 51, 0)
	it.Conversation, it.Sender = c.Peer.Username, c.Owner.Username
	it.Content = fmt.Sprintf("<msg>\n<op id='%d'>\n<username>%s</username>\n</op>\n</msg>", 2+c.Rand.IntN(4), c.Peer.Username)
	c.add(it)

	it = c.item("unknown/11000", "unknown", 11000, 0)
	it.Content = "<msg><anything>示例</anything></msg>"
	c.add(it)
	it = c.item("unknown/9999", "unknown", 9999, 0)
	it.Content = c.pick("a body of a kind nobody has seen", "<future version=\"9\"><x/></future>")
	c.add(it)
	it = c.item("unknown/app 4711", "unknown", 49, 4711)
	it.Content = c.message(it, app{typ: 4711, title: "来自未来的消息", des: "<des> & more", url: "https://future.example.com/?a=1&b=2"})
	it.Expect = body("app", "number", int64(4711), "title", "来自未来的消息", "description", "<des> & more", "url", "https://future.example.com/?a=1&b=2")
	c.add(it)
}
