package chat

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var (
	openers = []string{
		"好的,收到", "Morning! 早上好", "请问", "刚刚确认过", "FYI", "麻烦看一下", "Sure,", "没问题👌", "大家好", "Re:", "抱歉回复晚了", "Quick update —",
		"@所有人", "“已阅”", "He said \"yes\":", "¿Listo?", "了解です", "Na gut,", "🚢", "紧急‼️",
	}
	bodies = []string{
		"订单 %06d 已经从盐田港发出,预计周五到", "invoice INV-%06d is approved, please release payment", "合同编号 %06d 的第三条需要法务再看一遍",
		"the container TGHU%06d cleared customs at 14:20", "报价 ¥%06d 含税,运费另计", "let's move the call to 3pm, dial-in code %06d",
		"样品 %06d 质检通过 ✅", "my flight is MU%06d, landing late 😴", "快递单号 SF%06d,请查收📦", "room %06d is booked; bring the signed copies",
		"客户 %06d 要求月底前交付", "tracking shows #%06d stuck in 宁波 since Monday", "验证码 %06d(测试环境)", "see ticket TM-%06d for the details",
	}
	closers = []string{"", "", "", "谢谢🙏", "thanks!", "👍👍🏽", "🙂", "辛苦了~", "明天见", "— sent from my desk", "🎉🎉🎉", "(请勿外传)", "👨‍👩‍👧‍👦", "<b>not html</b> & so on"}
	shorts  = []string{"嗯", "好", "ok", "👌", "1", "?", "。", " ", "[微笑]", "哈哈哈", "+1", "在吗", "👀", "收到!"}
)

// text invents what somebody says. Most texts carry a number, so that two are
// seldom alike.
func text(r *rand.Rand) string {
	switch n := r.IntN(100); {
	case n < 8:
		return pick(r, shorts)
	case n < 14: // a first line that ends like a group row's sender, and is not
		return pick(r, []string{"note", "提醒", "wxid_notasender", "TODO"}) + ":\n" + sentence(r)
	case n < 20:
		return sentence(r) + "\n" + sentence(r) + "\n\n" + pick(r, closers)
	case n < 24: // quoting somebody
		return "「" + pick(r, openers) + ":" + sentence(r) + "」\n- - - - - - - - - -\n" + sentence(r)
	case n < 27:
		var b strings.Builder
		for range 8 + r.IntN(40) {
			b.WriteString(sentence(r))
			b.WriteString(pick(r, []string{" ", "。", "\n", "; "}))
		}
		return b.String()
	default:
		return sentence(r)
	}
}

func sentence(r *rand.Rand) string {
	s := pick(r, openers) + " " + fmt.Sprintf(pick(r, bodies), r.IntN(1e6))
	if c := pick(r, closers); c != "" {
		s += " " + c
	}
	return s
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// noticeText is the sentence that takes a recalled message's place.
func noticeText(r *rand.Rand, name string, self bool) string {
	if self {
		return pick(r, []string{"你撤回了一条消息", "You recalled a message"})
	}
	return fmt.Sprintf(pick(r, []string{`"%s" 撤回了一条消息`, `"%s" recalled a message`}), name)
}

// noticeXML wraps the notice the way the server announces a recall.
func noticeXML(session string, serverID int64, notice string) string {
	return fmt.Sprintf(`<sysmsg type="revokemsg"><revokemsg><session>%s</session><msgid>%d</msgid><newmsgid>%d</newmsgid>`+
		`<replacemsg><![CDATA[%s]]></replacemsg></revokemsg></sysmsg>`, session, uint32(serverID), serverID, notice)
}

// messageSource is the msgsource XML that comes with a message.
func messageSource(r *rand.Rand, members int) string {
	count := ""
	if members > 0 {
		count = fmt.Sprintf("<membercount>%d</membercount>", members)
	}
	return fmt.Sprintf(`<msgsource><bizflag>0</bizflag><pua>1</pua>`+
		`<eggIncluded>0</eggIncluded><silence>%d</silence>%s<signature>N0_V1_%08x|v1_%08x</signature>`+
		`<tmp_node><publisher-id></publisher-id></tmp_node><sec_msg_node><uuid>%016x%016x_</uuid><alnode><fr>1</fr></alnode></sec_msg_node></msgsource>`, r.IntN(2), count, r.Uint32(), r.Uint32(), r.Uint64(), r.Uint64())
}
