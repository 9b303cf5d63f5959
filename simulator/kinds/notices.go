package kinds

import (
	"fmt"
	"strings"

	"tidemark/simulator/media"
)

func (c *composer) pats() {
	from, to := c.Members[0], c.Members[1]
	template := fmt.Sprintf(`"${%s}" 拍了拍 "${%s}" 的肩膀`, from.Username, to.Username)
	expect := body("pat", "from", from.Username, "to", to.Username)
	pat := func(name, more string) {
		it := c.item(name, "pat", 49, 62).in(c.Room, from)
		it.Content = c.message(it, app{typ: 62, title: fmt.Sprintf(`"%s" 拍了拍 "%s" 的肩膀`, from.Name, to.Name), more: more})
		it.Expect = expect
		c.add(it)
	}
	pat("pat", fmt.Sprintf("<patMsg><chatUser>%s</chatUser><records><recordNum>1</recordNum><record><fromUser>%s</fromUser><pattedUser>%s</pattedUser><templete>%s</templete>"+
		"<createTime>%d</createTime><svrId>%d</svrId><readStatus>0</readStatus></record></records></patMsg>", c.Room, from.Username, to.Username, cdata(template), c.at.Unix(), c.Rand.Uint64()>>1))
	info := fmt.Sprintf("<fromusername>%s</fromusername><chatusername>%s</chatusername><pattedusername>%s</pattedusername><patsuffix>%s</patsuffix><patsuffixversion>1</patsuffixversion><template>%s</template>",
		from.Username, c.Room, to.Username, cdata("的肩膀"), cdata(template))
	pat("pat/info", "<patinfo>"+info+"</patinfo>")

	it := c.item("pat/system", "pat", 10002, 0).in(c.Room, from)
	it.Content = `<sysmsg type="pat"><pat>` + info + `</pat></sysmsg>`
	it.Expect = expect
	c.add(it)
}

// slot is a place in a template, and who fills it.
type slot struct {
	name string
	who  []Person
}

// template is a notice with places for people.
func (c *composer) template(kind, sentence string, slots ...slot) string {
	var links strings.Builder
	for _, s := range slots {
		var members strings.Builder
		for _, p := range s.who {
			fmt.Fprintf(&members, "<member><username>%s</username><nickname>%s</nickname></member>", cdata(p.Username), cdata(p.Name))
		}
		fmt.Fprintf(&links, "\n\t\t\t\t<link %s>\n\t\t\t\t\t<memberlist>%s</memberlist>\n\t\t\t\t\t<separator>%s</separator>\n\t\t\t\t</link>", c.attrs("name", s.name, "type", "link_profile"), members.String(), cdata("、"))
	}
	return c.shape(fmt.Sprintf(`<sysmsg type="sysmsgtemplate">
	<sysmsgtemplate>
		<content_template type="%s">
			<plain>%s</plain>
			<template>%s</template>
			<link_list>%s
			</link_list>
		</content_template>
	</sysmsgtemplate>
</sysmsg>`, kind, cdata(""), cdata(sentence), links.String()))
}

func parties(people ...Person) (list []any) {
	for _, p := range people {
		list = append(list, fields("id", p.Username, "name", p.Name))
	}
	return list
}

// rooms are the comings and goings of members. Some have no type: only the words of the
// sentence tell what happened, and they are in the user's language.
func (c *composer) rooms() {
	a, b, d := c.Members[0], c.Members[1], c.Members[2]
	notice := func(name, typ string, base int64, content, text string, expect map[string]any) {
		it := c.item(name, typ, base, 0).in(c.Room, Person{Username: c.Room})
		it.Content, it.Text, it.Expect = content, text, expect
		c.add(it)
	}
	joined := func(by Person, who ...Person) map[string]any {
		return body("membership", "members", parties(who...), "by", parties(by)[0])
	}
	names := b.Name + "、" + d.Name
	notice("join/invited", "join", 10000, c.template("tmpl_type_profile", `"$username$"邀请"$names$"加入了群聊`, slot{"username", []Person{a}}, slot{"names", []Person{b, d}}),
		`"`+a.Name+`"邀请"`+names+`"加入了群聊`, joined(a, b, d))
	notice("join/invited en", "join", 10002, c.template("tmpl_type_profile", `"$username$" invited "$names$" to the group chat`, slot{"username", []Person{a}}, slot{"names", []Person{b}}),
		`"`+a.Name+`" invited "`+b.Name+`" to the group chat`, joined(a, b))
	notice("join/invited you", "", 10000, c.template("tmpl_type_profile", `"$username$"邀请你加入了群聊,群聊参与人还有:$others$`, slot{"username", []Person{a}}, slot{"others", []Person{b, d}}),
		`"`+a.Name+`"邀请你加入了群聊,群聊参与人还有:`+names, nil)
	notice("join/by you", "join", 10000, c.template("tmpl_type_profilewithrevoke", `你邀请"$names$"加入了群聊  $revoke$`, slot{"names", []Person{d}}), "", body("membership", "members", parties(d)))
	notice("join/qr code", "join", 10000, c.template("tmpl_type_profile", `"$adder$"通过扫描"$from$"分享的二维码加入群聊`, slot{"adder", []Person{d}}, slot{"from", []Person{a}}),
		`"`+d.Name+`"通过扫描"`+a.Name+`"分享的二维码加入群聊`,
		body("membership", "members", parties(d)))
	notice("leave/kicked by you", "leave", 10000, c.template("tmpl_type_profile", `你将"$kickoutname$"移出了群聊`, slot{"kickoutname", []Person{d}}),
		`你将"`+d.Name+`"移出了群聊`, body("membership", "members", parties(d)))
	notice("leave/kicked you", "", 10000, c.template("tmpl_type_profile", `你被"$identity$"移出群聊`, slot{"identity", []Person{a}}),
		`你被"`+a.Name+`"移出群聊`, nil)
	notice("leave/left", "", 10000, c.template("tmpl_type_profile", `"$username$"退出了群聊`, slot{"username", []Person{d}}), `"`+d.Name+`"退出了群聊`, nil)
	notice("system/renamed", "system", 10000, c.template("tmpl_type_profile", `"$username$"修改群名为“Q4 出货”`, slot{"username", []Person{a}}), `"`+a.Name+`"修改群名为“Q4 出货”`, nil)
	if c.Gen == media.W3 {
		it := c.item("join/8000", "join", 10000, 8000).in(c.Room, Person{Username: c.Room})
		it.Content = fmt.Sprintf("\"%s\"邀请\"%s\"加入了群聊", a.Name, b.Name)
		it.Text = it.Content
		c.add(it)
		it = c.item("pat/4", "pat", 10000, 4).in(c.Room, Person{Username: c.Room})
		it.Content = fmt.Sprintf("\"%s\" 拍了拍 \"%s\"", a.Name, b.Name)
		c.add(it)
	}
}

// notices are the other lines of the client's own.
func (c *composer) notices() {
	plain := c.item("system", "system", 10000, 0)
	plain.Content = c.pick("以上是打招呼的内容", "You have added "+c.Peer.Name+" as your friend. Start chatting!")
	plain.Text = plain.Content
	c.add(plain)
	for _, v := range []struct{ kind, inner string }{
		{"NewXmlChatRoomAccessVerifyApplication", "<NewXmlChatRoomAccessVerifyApplication><text>" + cdata(`"`+c.Members[0].Name+`"想邀请1位朋友加入群聊`) + "</text><link><scene>roomaccessapplycheck_approve</scene><text>" +
			cdata("去确认") + "</text><ticket>" + cdata(c.hex(20)) + "</ticket></link></NewXmlChatRoomAccessVerifyApplication>"},
		{"mmchatroombarannouncememt", "<mmchatroombarannouncememt><content>" + cdata("周一起早八点开门") + "</content><username>" + c.Members[0].Username + "</username></mmchatroombarannouncememt>"},
		{"mmchatroomtopmsg", fmt.Sprintf("<mmchatroomtopmsg><username>%s</username><newmsgid>%d</newmsgid><chatname>%s</chatname></mmchatroomtopmsg>", c.Members[0].Username, c.Rand.Uint64()>>1, c.Room)},
		{"paymsg", "<paymsg><PayMsgType>4</PayMsgType><fromusername>" + c.Peer.Username + "</fromusername><appmsgcontent>" + cdata("对方已领取") + "</appmsgcontent></paymsg>"},
		{"multivoip", "<multivoip><action>1</action><content>" + cdata("语音通话已经结束") + "</content></multivoip>"},
		{"functionmsg", "<functionmsg><cgi>/cgi-bin/example</cgi><cmdid>614</cmdid><functionmsgid>a</functionmsgid></functionmsg>"},
		{"delchatroommember", fmt.Sprintf("<delchatroommember><plain>%s</plain><text>%s</text><link><scene>invite</scene><text>%s</text><memberlist><username>%s</username></memberlist></link></delchatroommember>",
			cdata("你邀请"+c.Members[2].Name+"加入了群聊  "), cdata("你邀请"+c.Members[2].Name+"加入了群聊"), cdata("撤销"), cdata(c.Members[2].Username))},
	} {
		it := c.item("system/"+v.kind, "system", 10002, 0).in(c.Room, Person{Username: c.Room})
		if v.kind == "delchatroommember" || v.kind == "mmchatroombarannouncememt" {
			it.Type = "" // what it says is a join, or an announcement
		}
		it.Content = c.shape(fmt.Sprintf(`<sysmsg type="%s">%s</sysmsg>`, v.kind, v.inner))
		it.Expect = body("notice", "kind", v.kind)
		if it.Type == "" {
			it.Expect = nil
		}
		c.add(it)
	}
}

// Recall forms: the content of a row whose message was withdrawn.
const (
	RecallClassic = "classic" // msgid and newmsgid
	RecallOldID   = "old id"  // oldmsgid, and a msgid of 64 bits
	RecallShortID = "short"   // a msgid of 32 bits: which message, only chat and time say
	RecallReduced = "reduced" // content and time only
	RecallPlain   = "plain"   // a sentence
)

// RecallForms is every form.
var RecallForms = []string{RecallClassic, RecallOldID, RecallShortID, RecallReduced, RecallPlain}

// Recalled is what the row of a message becomes when its sender withdraws it, in place:
// same ids, same time, a notice for content. name is the sender's, as shown.
func Recalled(of Item, form, name string) Item {
	it := of
	it.Name, it.Type = "recall/"+form, "recall"
	it.Base, it.Sub = 10002, 0
	notice := fmt.Sprintf("\"%s\" 撤回了一条消息", name)
	it.Content, it.Source, it.Display, it.Transcript, it.Packed = "", "", "", "", nil
	it.Media, it.Rows, it.Extra, it.Text, it.Mentions, it.QuoteOf, it.Recalls = nil, nil, nil, "", nil, "", ""
	id, inner := uint64(of.ServerID), ""
	replace := "<replacemsg>" + cdata(notice) + "</replacemsg>"
	switch form {
	case RecallClassic:
		inner = fmt.Sprintf("<session>%s</session><msgid>%d</msgid><newmsgid>%d</newmsgid>%s", of.Conversation, uint32(id), id, replace)
		it.Recalls = fmt.Sprint(of.ServerID)
	case RecallOldID:
		inner = fmt.Sprintf("<session>%s</session><oldmsgid>%d</oldmsgid><msgid>%d</msgid>%s", of.Conversation, uint32(id), id, replace)
		it.Recalls = fmt.Sprint(of.ServerID)
	case RecallShortID:
		inner = fmt.Sprintf("<session>%s</session><msgid>%d</msgid>%s", of.Conversation, uint32(id), replace)
	case RecallReduced:
		inner = fmt.Sprintf("<content>%s</content><revoketime>%d</revoketime>", esc(notice), of.Time.Unix()+30)
	default:
		it.Base, it.Content, it.Expect = 10000, notice, nil
		return it
	}
	it.Content = `<sysmsg type="revokemsg"><revokemsg>` + inner + `</revokemsg></sysmsg>`
	it.Expect = body("notice", "kind", "revokemsg")
	if it.Recalls != "" {
		it.Expect = body("notice", "kind", "revokemsg", "server_id", it.Recalls)
	}
	return it
}

// recalls are notices in rows of their own, each of a message that stays.
func (c *composer) recalls() {
	for _, form := range RecallForms {
		for _, base := range []int64{10002, 10000} {
			if form == RecallPlain && base == 10002 {
				continue
			}
			of := c.named("text")
			own := c.item("", "recall", base, 0)
			it := Recalled(of, form, c.Peer.Name)
			it.Name = fmt.Sprintf("recall/%s in %d", form, base)
			it.ServerID, it.Time, it.Base = own.ServerID, own.Time, base
			if form == RecallPlain {
				it.Type = "" // without a change of its row, nothing but the wording tells
			}
			c.add(&it)
		}
	}
	if c.Gen != media.W3 {
		return
	}
	for _, sub := range []int64{1, 5, 6, 33, 36, 57} {
		it := c.item(fmt.Sprintf("recall/of %d", sub), "recall", 10000, sub)
		it.Content = "\"" + c.Peer.Name + "\" 撤回了一条消息"
		it.Text = it.Content
		c.add(it)
	}
}
