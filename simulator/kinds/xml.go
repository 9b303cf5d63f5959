package kinds

import (
	"fmt"
	"regexp"
	"strings"
)

// esc is s as text or the value of an attribute.
var esc = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#x0A;").Replace

// cdata is s in a section of character data.
func cdata(s string) string {
	return "<![CDATA[" + strings.ReplaceAll(s, "]]>", "]]]]><![CDATA[>") + "]]>"
}

// text is s in one of the two forms.
func (c *composer) text(s string) string {
	if c.Rand.IntN(2) == 0 {
		return cdata(s)
	}
	return esc(s)
}

// attrs is attributes given as name, value, name, value; now and then in another order.
func (c *composer) attrs(values ...any) string {
	var list []string
	for i := 0; i < len(values); i += 2 {
		list = append(list, fmt.Sprintf(`%s="%s"`, values[i], esc(fmt.Sprint(values[i+1]))))
	}
	if c.Rand.IntN(3) == 0 {
		c.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return strings.Join(list, " ")
}

var between = regexp.MustCompile(`>[\n\t]+<`)

// shape writes a document with or without a declaration and white space.
func (c *composer) shape(xml string) string {
	if c.Rand.IntN(2) == 0 {
		xml = between.ReplaceAllString(xml, "><")
	}
	if c.Rand.IntN(2) == 0 {
		xml = "<?xml version=\"1.0\"?>\n" + xml
	}
	return xml
}

// source is the msgsource of a message that addresses these usernames.
func (c *composer) source(it *Item, mentions []string) string {
	at, count := "", ""
	if mentions != nil {
		at = "<atuserlist>" + c.text(strings.Join(mentions, ",")) + "</atuserlist>"
	}
	if it.Conversation == c.Room {
		count = fmt.Sprintf("<membercount>%d</membercount>", len(c.Members)+1)
	}
	return fmt.Sprintf("<msgsource>%s<bizflag>0</bizflag><pua>1</pua><silence>0</silence>%s<signature>V1_%s|v1_%s</signature>"+
		"<tmp_node>\n\t<publisher-id></publisher-id>\n</tmp_node></msgsource>", at, count, c.hex(8), c.hex(8))
}

// app is an app message. Parts that are empty are written empty, as the client does.
type app struct {
	typ                    int64
	title, des, url        string
	dataURL                string
	source, sourceUsername string
	attach                 string // inside <appattach>
	record                 string // inside <recorditem>
	more                   string // further elements
}

// message is the XML of an app message.
func (c *composer) message(it *Item, a app) string {
	attach := a.attach
	if attach == "" {
		attach = "<totallen>0</totallen><attachid></attachid><emoticonmd5></emoticonmd5><fileext></fileext><aeskey></aeskey>"
	}
	// what quotes, merged and program parts contain has <type> too: one stands before the own
	front, back := a.more, ""
	if c.Rand.IntN(2) == 0 {
		front, back = "", a.more
	}
	return c.shape(fmt.Sprintf(`<msg>
	<appmsg appid="%s" sdkver="0">
		<title>%s</title>
		<des>%s</des>
		%s
		<action>view</action>
		<type>%d</type>
		<showtype>0</showtype>
		<content />
		<url>%s</url>
		<dataurl>%s</dataurl>
		<lowurl />
		<lowdataurl />
		<recorditem>%s</recorditem>
		<thumburl />
		<messageaction />
		<extinfo />
		<sourceusername>%s</sourceusername>
		<sourcedisplayname>%s</sourcedisplayname>
		<appattach>%s</appattach>
		%s
	</appmsg>
	<fromusername>%s</fromusername>
	<scene>0</scene>
	<appinfo>
		<version>1</version>
		<appname></appname>
	</appinfo>
	<commenturl></commenturl>
</msg>`, c.pick("", "wx"+c.hex(16)), c.text(a.title), c.text(a.des), front, a.typ, c.text(a.url), c.text(a.dataURL), a.record,
		a.sourceUsername, c.text(a.source), attach, back, it.Sender))
}
