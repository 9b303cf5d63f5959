package kinds

import (
	"fmt"
	"path"
	"strings"
	"time"

	"tidemark/simulator/media"
)

// app adds an app message from the peer.
func (c *composer) app(name, typ string, a app, expect map[string]any) *Item {
	it := c.item(name, typ, 49, a.typ)
	it.Content = c.message(it, a)
	it.Expect = expect
	c.add(it)
	return it
}

func (c *composer) links() {
	link := func(a app) map[string]any {
		e := fields("title", a.title)
		for _, v := range []struct{ name, value string }{
			{"description", a.des}, {"url", a.url}, {"data_url", a.dataURL}, {"source", a.source}, {"source_id", a.sourceUsername},
		} {
			if v.value != "" {
				e[v.name] = v.value
			}
		}
		return map[string]any{"link": e}
	}
	for _, v := range []struct {
		name, typ string
		a         app
	}{
		{"link", "link", app{typ: 5, title: "Q4 航运市场观察 <Review>", des: "运价、舱位 & 展望", url: "https://mp.example.com/s?__biz=Mz&mid=22&idx=1#rd",
			source: "示例航运", sourceUsername: "gh_" + c.hex(12)}},
		{"link/bare", "link", app{typ: 5, title: "https://docs.example.com/a", url: "https://docs.example.com/a"}},
		{"link/with pat", "link", app{typ: 5, title: "A link with a pat's block", url: "https://pat.example.com/",
			more: "<patMsg><chatUser></chatUser><records><recordNum>0</recordNum></records></patMsg>"}},
		{"link/68", "link", app{typ: 68, title: "图文 📄", des: "摘要", url: "https://mp.example.com/s/68"}},
		{"link/1", "link", app{typ: 1, title: "只有标题的文字链接"}},
		{"link/4", "link", app{typ: 4, title: "Shared film", des: "三分钟看懂集装箱", url: "https://video.example.com/v/4?x=1&y=2"}},
		{"music", "music", app{typ: 3, title: "平湖秋月", des: "吕文成", url: "https://music.example.com/song/3", dataURL: "https://music.example.com/3.mp3?k=1&v=2"}},
		{"music/76", "music", app{typ: 76, title: "Song for a Ship", des: "The Quays", url: "https://music.example.com/song/76", dataURL: "https://music.example.com/76.m4a"}},
		{"music/92", "music", app{typ: 92, title: "夜航", des: "示例乐队", url: "https://music.example.com/song/92", dataURL: "https://music.example.com/92.m4a"}},
		{"game", "game", app{typ: 7, title: "来挑战我的分数", des: "跳一跳", url: "https://game.example.com/7"}},
	} {
		c.app(v.name, v.typ, v.a, link(v.a))
	}
	for _, n := range []int64{15, 16} { // sticker set or coupon: the reference is not sure
		c.app(fmt.Sprintf("app %d", n), "", app{typ: n, title: c.pick("表情合集", "满100减20券"), url: fmt.Sprintf("https://shop.example.com/%d", n)}, nil)
	}
	md5 := c.hex(32)
	c.app("sticker/app 8", "sticker", app{typ: 8, title: "", attach: "<totallen>88231</totallen><attachid></attachid><emoticonmd5>" + md5 + "</emoticonmd5><fileext>pic</fileext>"},
		body("sticker", "md5", md5))
	if c.v4() { // the row does not say the sub type, the XML does
		it := c.item("link/base only", "link", 49, 0)
		a := app{typ: 5, title: "Only the XML says 5", url: "https://bare.example.com/"}
		it.Content, it.Expect = c.message(it, a), link(a)
		c.add(it)
	}
}

func (c *composer) programs() {
	for _, n := range []int64{33, 36} {
		user, id, page := "gh_"+c.hex(12)+"@app", "wx"+c.hex(16), "pages/order/detail.html?id=42&from=chat"
		c.app(fmt.Sprintf("miniprogram/%d", n), "miniprogram", app{typ: n, title: "订单 42 待确认", source: "示例仓储", url: "https://mp.example.com/mp/waerrpage?appid=" + id,
			more: fmt.Sprintf("<weappinfo><pagepath>%s</pagepath><username>%s</username><appid>%s</appid><version>17</version><type>2</type><weappiconurl>%s</weappiconurl>"+
				"<shareId>%s</shareId><appservicetype>0</appservicetype></weappinfo>", cdata(page), user, id, cdata("https://icon.example.com/a?b=1&c=2"), cdata("1_"+id))},
			body("miniprogram", "title", "订单 42 待确认", "name", "示例仓储", "username", user, "app_id", id, "path", page))
	}

	unsupported := c.pick("当前版本不支持展示该内容,请升级至最新版本。", "This content is not supported by the current version.")
	c.app("channel", "channel", app{typ: 51, title: unsupported, more: fmt.Sprintf(`<finderFeed>
			<objectId>%d</objectId>
			<feedType>4</feedType>
			<nickname>%s</nickname>
			<username>v2_%s@finder</username>
			<avatar>%s</avatar>
			<desc>%s</desc>
			<mediaCount>1</mediaCount>
			<objectNonceId>%d_0_0</objectNonceId>
			<mediaList><media><mediaType>4</mediaType><url>%s</url><thumbUrl>%s</thumbUrl><width>1080</width><height>1920</height><videoPlayDuration>31</videoPlayDuration></media></mediaList>
		</finderFeed>`, c.Rand.Uint64()>>1, cdata("港口日记"), c.hex(40), cdata("https://finder.example.com/h?x=1&y=2"), cdata("凌晨四点的盐田港 #航运 & more"), c.Rand.Uint32(),
		cdata("https://finder.example.com/v?token=1&i=2"), cdata("https://finder.example.com/t"))},
		body("channel", "kind", "video", "name", "港口日记", "description", "凌晨四点的盐田港 #航运 & more"))
	for _, n := range []int64{63, 88} {
		c.app(fmt.Sprintf("channel/live %d", n), "channel", app{typ: n, title: unsupported, more: fmt.Sprintf(`<finderLive>
			<finderLiveID>%d</finderLiveID>
			<finderUsername>v2_%s@finder</finderUsername>
			<finderObjectID>%d</finderObjectID>
			<nickname>%s</nickname>
			<desc>%s</desc>
			<finderNonceID>%d</finderNonceID>
			<headUrl>%s</headUrl>
			<liveStatus>1</liveStatus>
			<media><coverUrl>%s</coverUrl><height>1280</height><width>720</width></media>
		</finderLive>`, c.Rand.Uint64()>>1, c.hex(40), c.Rand.Uint64()>>1, cdata("示例直播间"), cdata("周五货运答疑"), c.Rand.Uint32(), cdata("https://finder.example.com/h"), cdata("https://finder.example.com/c"))},
			body("channel", "kind", "live", "name", "示例直播间", "description", "周五货运答疑"))
	}
	for _, n := range []int64{44, 50} {
		c.app(fmt.Sprintf("channel/%d", n), "channel", app{typ: n, title: unsupported, more: fmt.Sprintf("<findernamecard><username>v2_%s@finder</username><avatar>%s</avatar>"+
			"<nickname>%s</nickname><auth_job></auth_job><auth_icon>0</auth_icon></findernamecard>", c.hex(40), cdata("https://finder.example.com/h"), cdata("港口日记"))}, nil)
	}

	chain := "#接龙\n周五聚餐报名\n\n1. " + c.Members[0].Name + "\n2. " + c.Members[1].Name
	it := c.item("groupchain", "groupchain", 49, 53).in(c.Room, c.Members[1])
	it.Content = c.message(it, app{typ: 53, title: chain, more: fmt.Sprintf("<extinfo><solitaire_info>%s</solitaire_info></extinfo>",
		cdata(fmt.Sprintf("<solitaire><header>周五聚餐报名</header><items><item><username>%s</username></item></items></solitaire>", c.Members[0].Username)))})
	c.add(it)

	it = c.item("announcement", "announcement", 49, 87).in(c.Room, c.Members[0])
	text := "各位:\n周一起仓库改为早八点开门。\nThanks & regards"
	it.Content = c.message(it, app{typ: 87, title: "群公告", more: "<textannouncement>" + c.text(text) + "</textannouncement>" +
		"<announcement>" + cdata("<group_notice_item type=\"18\"><edittime>1</edittime></group_notice_item>") + "</announcement>"})
	it.Expect = body("announcement", "text", text)
	c.add(it)
}

func (c *composer) documents() {
	document := func(name string, sub int64, d media.Document) *Item {
		it := c.item(name, "file", 49, sub)
		a := c.maker(it).Document(d)
		it.attach(a)
		ext := strings.TrimPrefix(path.Ext(d.Name), ".")
		it.Content = c.message(it, app{typ: sub, title: d.Name, attach: fmt.Sprintf("<totallen>%d</totallen><fileext>%s</fileext><attachid>@cdn_%s_1</attachid>"+
			"<cdnattachurl>3057020100044b%s</cdnattachurl><aeskey>%s</aeskey><encryver>0</encryver><overwrite_newmsgid>%d</overwrite_newmsgid><fileuploadtoken></fileuploadtoken>",
			a.Size, ext, c.hex(40), c.hex(40), c.hex(32), c.Rand.Uint64()>>1), more: "<md5>" + a.MD5 + "</md5>"})
		it.Expect = body("file", "name", d.Name, "extension", ext, "bytes", a.Size, "md5", a.MD5)
		return it
	}
	// The folder is all conversations': names must differ between those of an account.
	n := c.hex(6)
	c.add(document("file", 6, media.Document{Name: "合同 " + n + " (final) & annex.pdf"}))
	c.add(document("file/docx", 6, media.Document{Name: "Draft " + n + ".docx"}))
	c.add(document("file/clash", 6, media.Document{Name: "Draft " + n + ".docx", Clash: true}))
	c.add(document("file/late", 6, media.Document{Name: "数据 " + n + ".bin", Have: media.Late, Delay: 3 * time.Second}))
	c.add(document("file/never", 6, media.Document{Name: "never " + n + ".pdf", Have: media.Nothing}))
	own := document("file/transferring", 74, media.Document{Name: "上传中 " + n + ".pdf"})
	own.Sender = c.Owner.Username
	own.Expect["file"].(map[string]any)["transferring"] = true
	c.add(own)
}

// transferStates is what each paysubtype means.
var transferStates = []struct {
	code  int64
	state string
}{{1, "initiated"}, {7, "initiated"}, {8, "initiated"}, {3, "received"}, {5, "received"}, {4, "returned"}, {9, "returned"}, {10, "expired"}}

func (c *composer) money() {
	for _, s := range transferStates {
		id, memo := fmt.Sprintf("1000050001%018d", c.Rand.Int64N(1e18)), c.pick("货款", "deposit & fee", "")
		it := c.item(fmt.Sprintf("transfer/%d %s", s.code, s.state), "transfer", 49, 2000)
		it.Content = c.message(it, app{typ: 2000, title: c.pick("微信转账", "WeChat Transfer"), des: "收到转账128.00元。如需收钱,请点此升级至最新版本", more: fmt.Sprintf(`<wcpayinfo>
			<paysubtype>%d</paysubtype>
			<feedesc>%s</feedesc>
			<transcationid>%s</transcationid>
			<transferid>%s</transferid>
			<invalidtime>%d</invalidtime>
			<begintransfertime>%d</begintransfertime>
			<effectivedate>1</effectivedate>
			<pay_memo>%s</pay_memo>
			<receiver_username>%s</receiver_username>
			<payer_username></payer_username>
		</wcpayinfo>`, s.code, cdata("¥128.00"), cdata("53010001"+c.hex(10)), cdata(id), it.Time.Unix()+86400, it.Time.Unix(), cdata(memo), cdata(c.Owner.Username))})
		e := fields("id", id, "amount", "¥128.00", "state", s.state, "code", s.code)
		if memo != "" {
			e["memo"] = memo
		}
		it.Expect = map[string]any{"transfer": e}
		c.add(it)
	}

	url := "wxpay://c2cbizmessagehandler/hongbao/receivehongbao?msgtype=1&channelid=1&sendid=1000039501" + c.hex(8)
	packet := fmt.Sprintf(`<wcpayinfo>
			<templateid>7a2a165d31da7fce6dd77e05c300028a</templateid>
			<url>%s</url>
			<iconurl>%s</iconurl>
			<receivertitle>%s</receivertitle>
			<sendertitle>%s</sendertitle>
			<scenetext>%s</scenetext>
			<senderdes>%s</senderdes>
			<receiverdes>%s</receiverdes>
			<nativeurl>%s</nativeurl>
			<sceneid>1002</sceneid>
			<innertype>0</innertype>
		</wcpayinfo>`, cdata("https://wxapp.example.com/open?a=1&b=2"), cdata("https://gfx.example.com/hb.png"), cdata("恭喜发财,大吉大利"), cdata("恭喜发财,大吉大利 🧧"),
		cdata("微信红包"), cdata("查看红包"), cdata("领取红包"), cdata(url))
	c.app("redpacket", "redpacket", app{typ: 2001, title: c.pick("微信红包", "Red packet"), des: "我给你发了一个红包,赶紧去拆!", more: packet},
		body("redpacket", "title", "恭喜发财,大吉大利 🧧", "receiver_title", "恭喜发财,大吉大利", "url", url))
	c.app("redpacket/cover", "redpacket", app{typ: 2003, title: "红包封面", url: "https://cover.example.com/1"}, nil)
}
