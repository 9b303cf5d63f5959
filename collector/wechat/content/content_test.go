package content_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"tidemark/collector/wechat/content"
	"tidemark/record"
)

// said is what a result says, as it stands in a record.
func said(t testing.TB, out *content.Result) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(struct {
		Type     string   `json:"type"`
		Text     *string  `json:"text,omitempty"`
		Mentions []string `json:"mentions,omitempty"`
		*record.Body
		Unreadable string `json:"unreadable,omitempty"`
	}{out.Type, out.Text, out.Mentions, out.Body, out.Unreadable}); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

var names = map[string]string{"wxid_a": "甲", "wxid_b": "乙"}

// decode decodes as a caller that knows some names, and whose message ids tell what
// they are made of.
func decode(in content.Input) *content.Result {
	in.MessageID = func(id string) string { return "m_" + id }
	in.Owner = "wxid_me"
	in.Name = func(username string) string { return names[username] }
	var out content.Result
	content.Decode(&in, &out)
	return &out
}

func app(inner string) string {
	return "<?xml version=\"1.0\"?>\n<msg>\n<appmsg appid=\"\" sdkver=\"0\">" + inner + "</appmsg><fromusername>wxid_a</fromusername></msg>"
}

const (
	sum = "0123456789abcdef0123456789abcdef"
	SUM = "0123456789ABCDEF0123456789ABCDEF"
)

type row struct {
	base, sub int64
	body      string
	want      string
}

// Every base type of the reference is decoded into its fields.
func TestBaseTypes(t *testing.T) {
	for name, c := range map[string]row{
		"text":           {1, 0, "你好 <b> & 🎉", `{"type":"text","text":"你好 <b> & 🎉"}`},
		"empty text":     {1, 0, "", `{"type":"text","text":""}`},
		"image":          {3, 0, `<msg><img aeskey="k" md5="` + SUM + `" length="100" hdlength="0" cdnmidwidth="640" cdnmidheight="480"/></msg>`, `{"type":"image","image":{"md5":"` + SUM + `","bytes":100,"width":640,"height":480}}`},
		"image in hd":    {3, 0, `<msg><img md5="" length="100" hdlength="9000"/></msg>`, `{"type":"image","image":{"bytes":9000}}`},
		"image of group": {3, 9, `<msg><img md5="` + sum + `"/><groupinfo><id>g1</id><type>1</type><count>3</count></groupinfo></msg>`, `{"type":"image","image":{"md5":"` + sum + `","group":"g1"}}`},
		"voice":          {34, 0, `<msg><voicemsg endflag="1" length="3200" voicelength="2100" clientmsgid="x"/></msg>`, `{"type":"voice","voice":{"milliseconds":2100,"bytes":3200}}`},
		"friend request": {37, 0, `<msg fromusername="wxid_b" encryptusername="v3" fromnickname="Bo" content="I am Bo" fullpy="bo"/>`, `{"type":"friendrequest","text":"I am Bo","friendrequest":{"from":"wxid_b","name":"Bo","text":"I am Bo"}}`},
		"card":           {42, 0, `<msg username="wxid_c" nickname="C" alias="sea" certflag="0"/>`, `{"type":"card","card":{"id":"wxid_c","name":"C","alias":"sea"}}`},
		"card of WeCom":  {42, 0, `<msg username="123@openim" nickname="C"/>`, `{"type":"card","card":{"id":"123@openim","name":"C","wecom":true}}`},
		"video":          {43, 0, `<msg><videomsg md5="` + sum + `" length="1000" playlength="12"/></msg>`, `{"type":"video","video":{"md5":"` + sum + `","bytes":1000,"seconds":12}}`},
		"short video":    {62, 0, `<msg><videomsg newmd5="` + sum + `" length="1000" playlength="6"/></msg>`, `{"type":"video","video":{"md5":"` + sum + `","bytes":1000,"seconds":6}}`},
		"sticker":        {47, 0, `<msg><emoji fromusername="a" md5="` + sum + `" len="77" cdnurl="http://x/?a=1&amp;b=2" encrypturl="http://y"/></msg>`, `{"type":"sticker","sticker":{"md5":"` + sum + `","url":"http://x/?a=1&b=2","bytes":77}}`},
		"location":       {48, 0, `<msg><location x="31.23" y="121.47" scale="16" label="Bund 1" poiname="Tower"/></msg>`, `{"type":"location","location":{"latitude":"31.23","longitude":"121.47","scale":"16","label":"Bund 1","name":"Tower"}}`},
		"call":           {50, 0, `<voipmsg type="VoIPBubbleMsg"><VoIPBubbleMsg><msg><![CDATA[Duration 01:02:03]]></msg><room_type>1</room_type></VoIPBubbleMsg></voipmsg>`, `{"type":"call","call":{"text":"Duration 01:02:03","seconds":3723}}`},
		"call, no clock": {50, 0, `<voipmsg><VoIPBubbleMsg><msg>Canceled</msg></VoIPBubbleMsg></voipmsg>`, `{"type":"call","call":{"text":"Canceled"}}`},
		"call, invited":  {50, 0, `<voipinvitemsg></voipinvitemsg><voiplocalinfo><duration>9</duration></voiplocalinfo>`, `{"type":"call","call":{"seconds":9}}`},
		"sync":           {51, 0, `<msg><op id='4'><username>wxid_a</username></op></msg>`, `{"type":"sync"}`},
		"WeCom friend":   {65, 0, `<msg fromusername="1@openim" fromnickname="W" content="hi"/>`, `{"type":"friendrequest","text":"hi","friendrequest":{"from":"1@openim","name":"W","text":"hi"}}`},
		"WeCom card":     {66, 0, `<msg username="1@openim" nickname="W"/>`, `{"type":"card","card":{"id":"1@openim","name":"W","wecom":true}}`},
		"WeCom card 67":  {67, 0, `<msg username="1@openim" nickname="W"/>`, `{"type":"card","card":{"id":"1@openim","name":"W","wecom":true}}`},
		"WeCom other":    {67, 0, `<msg something="else"/>`, `{"type":"unknown"}`},
		"11000":          {11000, 0, `<x/>`, `{"type":"unknown"}`},
		"never seen":     {987, 6, "text", `{"type":"unknown"}`},
	} {
		if got := said(t, decode(content.Input{Base: c.base, Sub: c.sub, Body: []byte(c.body)})); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// Every number of an app message is decoded into its fields, by the XML's own number
// and by the row's where the XML has none.
func TestAppTypes(t *testing.T) {
	link := `<title>T</title><des>D</des><url>http://x</url><dataurl>http://d</dataurl><sourcedisplayname>S</sourcedisplayname><sourceusername>gh_s</sourceusername>`
	body := `{"title":"T","description":"D","url":"http://x","data_url":"http://d","source":"S","source_id":"gh_s"}`
	file := `<title>a b.pdf</title><md5>` + sum + `</md5><appattach><totallen>2048</totallen><fileext>pdf</fileext><cdnattachurl>c</cdnattachurl></appattach>`
	finder := func(name string) string {
		return `<title>not supported</title><` + name + `><objectId>9</objectId><nickname>N</nickname><username>v2@finder</username><desc>Film</desc><mediaList><media><url>http://v</url><type>4</type></media></mediaList></` + name + `>`
	}
	channel := func(kind string) string {
		return `{"type":"channel","channel":{"kind":"` + kind + `","id":"9","name":"N","username":"v2@finder","description":"Film","url":"http://v"}}`
	}
	pay := `<wcpayinfo><paysubtype>%</paysubtype><feedesc>￥1.00</feedesc><transferid>t1</transferid><pay_memo>lunch</pay_memo></wcpayinfo>`
	for name, c := range map[string]struct {
		number int64
		inner  string
		want   string
	}{
		"text link":        {1, `<title>said by an app</title>`, `{"type":"link","text":"said by an app","link":{"title":"said by an app"}}`},
		"music 3":          {3, link, `{"type":"music","link":` + body + `}`},
		"music 76":         {76, link, `{"type":"music","link":` + body + `}`},
		"music 92":         {92, link, `{"type":"music","link":` + body + `}`},
		"video link":       {4, link, `{"type":"link","link":` + body + `}`},
		"link":             {5, link, `{"type":"link","link":` + body + `}`},
		"link 68":          {68, link, `{"type":"link","link":` + body + `}`},
		"link with pat":    {5, `<patMsg><records><record><fromUser>a</fromUser></record></records></patMsg><title>T</title>`, `{"type":"link","link":{"title":"T"}}`},
		"sticker set":      {15, `<title>T</title>`, `{"type":"link","link":{"title":"T"}}`},
		"coupon":           {16, `<title>T</title>`, `{"type":"link","link":{"title":"T"}}`},
		"game":             {7, `<title>T</title>`, `{"type":"game","link":{"title":"T"}}`},
		"file":             {6, file, `{"type":"file","file":{"name":"a b.pdf","extension":"pdf","bytes":2048,"md5":"` + sum + `"}}`},
		"file on its way":  {74, file, `{"type":"file","file":{"name":"a b.pdf","extension":"pdf","bytes":2048,"md5":"` + sum + `","transferring":true}}`},
		"sticker":          {8, `<appattach><totallen>5</totallen><emoticonmd5>` + sum + `</emoticonmd5></appattach>`, `{"type":"sticker","sticker":{"md5":"` + sum + `","bytes":5}}`},
		"live location":    {17, `<title>I started sharing my location</title>`, `{"type":"location","text":"I started sharing my location","location":{"live":true}}`},
		"mini program 33":  {33, `<title>Order</title><sourcedisplayname>Shop</sourcedisplayname><url>http://w</url><weappinfo><username>gh_x@app</username><appid>wx1</appid><pagepath>p/i.html</pagepath><type>2</type></weappinfo>`, `{"type":"miniprogram","miniprogram":{"title":"Order","name":"Shop","username":"gh_x@app","app_id":"wx1","path":"p/i.html","url":"http://w"}}`},
		"mini program 36":  {36, `<title>Order</title>`, `{"type":"miniprogram","miniprogram":{"title":"Order"}}`},
		"card 44":          {44, finder("finderCard"), channel("card")},
		"card 50":          {50, finder("findernamecard"), channel("card")},
		"channel video":    {51, finder("finderFeed"), channel("video")},
		"channel live":     {63, finder("finderLive"), channel("live")},
		"channel live 88":  {88, finder("finderLive"), channel("live")},
		"group chain":      {53, `<title>#chain&#10;1. A</title><extinfo><solitaire>x</solitaire><n>2</n></extinfo>`, `{"type":"groupchain","text":"#chain\n1. A","groupchain":{"title":"#chain\n1. A","text":"x\n2"}}`},
		"pat":              {62, `<title>x</title><patMsg><chatUser>1@chatroom</chatUser><records><recordNum>1</recordNum><record><fromUser>wxid_a</fromUser><pattedUser>wxid_z</pattedUser><templete>"${wxid_a}" tickled "${wxid_z}"</templete></record></records></patMsg>`, `{"type":"pat","text":"\"甲\" tickled \"wxid_z\"","pat":{"from":"wxid_a","to":"wxid_z","text":"\"甲\" tickled \"wxid_z\""}}`},
		"pat, patinfo":     {62, `<patinfo><fromusername>wxid_a</fromusername><pattedusername>wxid_b</pattedusername><template>${wxid_a} → ${wxid_b}</template></patinfo>`, `{"type":"pat","text":"甲 → 乙","pat":{"from":"wxid_a","to":"wxid_b","text":"甲 → 乙"}}`},
		"announcement":     {87, `<title>Group notice</title><des>d</des><textannouncement>Meeting at nine</textannouncement>`, `{"type":"announcement","text":"Meeting at nine","announcement":{"text":"Meeting at nine"}}`},
		"announcement des": {87, `<des>d</des>`, `{"type":"announcement","text":"d","announcement":{"text":"d"}}`},
		"transfer":         {2000, strings.ReplaceAll(pay, "%", "1"), `{"type":"transfer","transfer":{"id":"t1","amount":"￥1.00","memo":"lunch","state":"initiated","code":1}}`},
		"received":         {2000, strings.ReplaceAll(pay, "%", "3"), `{"type":"transfer","transfer":{"id":"t1","amount":"￥1.00","memo":"lunch","state":"received","code":3}}`},
		"returned":         {2000, strings.ReplaceAll(pay, "%", "4"), `{"type":"transfer","transfer":{"id":"t1","amount":"￥1.00","memo":"lunch","state":"returned","code":4}}`},
		"expired":          {2000, strings.ReplaceAll(pay, "%", "10"), `{"type":"transfer","transfer":{"id":"t1","amount":"￥1.00","memo":"lunch","state":"expired","code":10}}`},
		"another state":    {2000, strings.ReplaceAll(pay, "%", "77"), `{"type":"transfer","transfer":{"id":"t1","amount":"￥1.00","memo":"lunch","state":"unknown","code":77}}`},
		"red packet":       {2001, `<title>Red packet</title><wcpayinfo><sendertitle>Luck</sendertitle><receivertitle>To you</receivertitle><nativeurl>wxpay://c2c</nativeurl></wcpayinfo>`, `{"type":"redpacket","redpacket":{"title":"Luck","receiver_title":"To you","url":"wxpay://c2c"}}`},
		"its cover":        {2003, `<title>Cover</title>`, `{"type":"redpacket","redpacket":{"title":"Cover"}}`},
		"unknown":          {4711, link, `{"type":"unknown","app":{"number":4711,"title":"T","description":"D","url":"http://x"}}`},
	} {
		number, _ := json.Marshal(c.number)
		typed := app(c.inner + "<type>" + string(number) + "</type>")
		if got := said(t, decode(content.Input{Base: 49, Body: []byte(typed)})); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if got := said(t, decode(content.Input{Base: 49, Sub: c.number, Body: []byte(app(c.inner))})); got != c.want {
			t.Errorf("%s by the row's number:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// A reply names the quoted message by server id and record, whoever sent it, and says
// what it was.
func TestQuote(t *testing.T) {
	quote := func(refer string) string {
		return app(`<title>my answer</title><refermsg>` + refer + `</refermsg><type>57</type>`)
	}
	for name, c := range map[string]struct{ refer, want string }{
		"text in a room": {`<type>1</type><svrid>18446744073709551615</svrid><fromusr>1@chatroom</fromusr><chatusr>wxid_a</chatusr><displayname>A!</displayname><content>so &amp; so</content><createtime>1763884799</createtime>`,
			`{"server_id":"-1","of":"m_-1","sender":{"id":"wxid_a","name":"A!"},"type":"text","text":"so & so","sent_at":"2025-11-23T07:59:59Z"}`},
		"direct": {`<type>1</type><svrid>7</svrid><fromusr>wxid_b</fromusr><chatusr></chatusr><content>x</content>`,
			`{"server_id":"7","of":"m_7","sender":{"id":"wxid_b","name":"乙"},"type":"text","text":"x"}`},
		"a file":           {`<type>49</type><svrid>7</svrid><content>&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;a.pdf&lt;/title&gt;&lt;type&gt;6&lt;/type&gt;&lt;/appmsg&gt;&lt;/msg&gt;</content>`, `{"server_id":"7","of":"m_7","type":"file","text":"a.pdf"}`},
		"a file in a room": {"<type>49</type><svrid>7</svrid><chatusr>wxid_z</chatusr><content>wxid_z:\n&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;a.pdf&lt;/title&gt;&lt;type&gt;6&lt;/type&gt;&lt;/appmsg&gt;&lt;/msg&gt;</content>", `{"server_id":"7","of":"m_7","sender":{"id":"wxid_z"},"type":"file","text":"a.pdf"}`},
		"escaped twice":    {`<type>49</type><content>&amp;lt;msg&amp;gt;&amp;lt;appmsg&amp;gt;&amp;lt;title&amp;gt;T&amp;lt;/title&amp;gt;&amp;lt;type&amp;gt;5&amp;lt;/type&amp;gt;&amp;lt;/appmsg&amp;gt;&amp;lt;/msg&amp;gt;</content>`, `{"type":"link","text":"T"}`},
		"an image":         {`<type>3</type><svrid>7</svrid><content>&lt;msg&gt;&lt;img md5="x"/&gt;&lt;/msg&gt;</content>`, `{"server_id":"7","of":"m_7","type":"image"}`},
		"a broken image":   {`<type>3</type><svrid>7</svrid><content>&lt;msg&gt;&lt;im</content>`, `{"server_id":"7","of":"m_7","type":"image"}`},
		"a reply":          {`<type>49</type><content>&lt;msg&gt;&lt;appmsg&gt;&lt;title&gt;first answer&lt;/title&gt;&lt;type&gt;57&lt;/type&gt;&lt;refermsg&gt;&lt;type&gt;49&lt;/type&gt;&lt;/refermsg&gt;&lt;/appmsg&gt;&lt;/msg&gt;</content>`, `{"type":"quote","text":"first answer"}`},
		"no type":          {`<svrid>0</svrid>`, `{}`},
		"a time too far":   {`<type>1</type><createtime>999999999999999</createtime><content>x</content>`, `{"type":"text","text":"x"}`},
	} {
		want := `{"type":"quote","text":"my answer","quote":` + c.want + `}`
		if got := said(t, decode(content.Input{Base: 49, Sub: 57, Body: []byte(quote(c.refer))})); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// Notices are told apart by what they name themselves, in whatever language they speak.
func TestSystem(t *testing.T) {
	const notice = `"甲" recalled a message`
	revoke := func(ids string) string {
		return `<sysmsg type="revokemsg"><revokemsg><session>1@chatroom</session>` + ids + `<replacemsg><![CDATA[` + notice + `]]></replacemsg></revokemsg></sysmsg>`
	}
	recall := func(more string) string {
		return `{"type":"recall","text":"\"甲\" recalled a message","notice":{"kind":"revokemsg"` + more + `}}`
	}
	template := func(text, links string) string {
		return `<sysmsg type="sysmsgtemplate"><sysmsgtemplate><content_template type="tmpl_type_profile"><plain><![CDATA[]]></plain><template><![CDATA[` + text + `]]></template><link_list>` + links + `</link_list></content_template></sysmsgtemplate></sysmsg>`
	}
	link := func(name string, users ...string) string {
		s := `<link name="` + name + `" type="link_profile"><memberlist>`
		for _, u := range users {
			s += `<member><username><![CDATA[` + u + `]]></username><nickname><![CDATA[` + names[u] + `]]></nickname></member>`
		}
		return s + `</memberlist><separator><![CDATA[, ]]></separator></link>`
	}
	for name, c := range map[string]row{
		"sentence":          {10000, 0, "You have <b>joined</b>", `{"type":"system","text":"You have <b>joined</b>"}`},
		"control sentence":  {10002, 0, "words", `{"type":"system","text":"words"}`},
		"recall":            {10002, 0, revoke(`<msgid>123</msgid><newmsgid>18446744073709551615</newmsgid>`), recall(`,"server_id":"-1","of":"m_-1"`)},
		"recall in 10000":   {10000, 0, revoke(`<newmsgid>77</newmsgid>`), recall(`,"server_id":"77","of":"m_77"`)},
		"recall, old form":  {10002, 0, revoke(`<oldmsgid>123</oldmsgid><msgid>4294967296</msgid>`), recall(`,"server_id":"4294967296","of":"m_4294967296"`)},
		"recall, 32 bits":   {10002, 0, revoke(`<msgid>123</msgid>`), recall("")},
		"recall, reduced":   {10000, 0, `<revokemsg><content>` + notice + `</content><revoketime>0</revoketime></revokemsg>`, recall("")},
		"recall, with room": {10002, 0, "1@chatroom:\n" + revoke(`<newmsgid>77</newmsgid>`), recall(`,"server_id":"77","of":"m_77"`)},
		"invited": {10002, 0, template(`"$username$" invited "$names$"`, link("username", "wxid_a")+link("names", "wxid_b", "wxid_z")),
			`{"type":"join","text":"\"甲\" invited \"乙, wxid_z\"","membership":{"members":[{"id":"wxid_b","name":"乙"},{"id":"wxid_z"}],"by":{"id":"wxid_a","name":"甲"}}}`},
		"by QR code": {10000, 0, template(`"$adder$" joined by the code of "$from$"`, link("adder", "wxid_b")+link("from", "wxid_a")),
			`{"type":"join","text":"\"乙\" joined by the code of \"甲\"","membership":{"members":[{"id":"wxid_b","name":"乙"}],"by":{"id":"wxid_a","name":"甲"}}}`},
		"removed": {10002, 0, template(`You removed "$kickoutname$" $revoke$`, link("kickoutname", "wxid_b")+`<link name="revoke" type="link_revoke"><title>Undo</title></link>`),
			`{"type":"leave","text":"You removed \"乙\" Undo","membership":{"members":[{"id":"wxid_b","name":"乙"}]}}`},
		"removed the owner": {10000, 0, template(`You were removed by "$identity$"`, link("identity", "wxid_a")),
			`{"type":"leave","text":"You were removed by \"甲\"","membership":{"members":[{"id":"wxid_me"}],"by":{"id":"wxid_a","name":"甲"}}}`},
		"invited the owner": {10000, 0, template(`"$username$" invited you. There are: $others$`, link("username", "wxid_a")+link("others", "wxid_b")),
			`{"type":"join","text":"\"甲\" invited you. There are: 乙","membership":{"members":[{"id":"wxid_me"}],"by":{"id":"wxid_a","name":"甲"}}}`},
		"left": {10000, 0, template(`"$username$" left the group chat`, link("username", "wxid_b")),
			`{"type":"leave","text":"\"乙\" left the group chat","membership":{"members":[{"id":"wxid_b","name":"乙"}]}}`},
		"renamed":            {10000, 0, template(`"$username$" renamed the group`, link("username", "wxid_b")), `{"type":"system","text":"\"乙\" renamed the group","notice":{"kind":"sysmsgtemplate"}}`},
		"template of others": {10002, 0, template(`"$remark$" is your friend. $none$`, link("remark", "wxid_b")), `{"type":"system","text":"\"乙\" is your friend. $none$","notice":{"kind":"sysmsgtemplate"}}`},
		"undoable": {10000, 0, `<sysmsg type="delchatroommember"><delchatroommember><plain><![CDATA[You invited 乙]]></plain><link><scene>invite</scene><text>Undo</text><memberlist><username>wxid_b</username></memberlist></link></delchatroommember></sysmsg>`,
			`{"type":"join","text":"You invited 乙","membership":{"members":[{"id":"wxid_b","name":"乙"}]}}`},
		"undoable, no scene": {10000, 0, `<sysmsg type="delchatroommember"><delchatroommember><plain>Something</plain></delchatroommember></sysmsg>`, `{"type":"system","text":"Something","notice":{"kind":"delchatroommember"}}`},
		"pat": {10002, 0, `<sysmsg type="pat"><pat><fromusername>wxid_a</fromusername><chatusername>1@chatroom</chatusername><pattedusername>wxid_b</pattedusername><template><![CDATA["${wxid_a}" tickled "${wxid_b}"]]></template></pat></sysmsg>`,
			`{"type":"pat","text":"\"甲\" tickled \"乙\"","pat":{"from":"wxid_a","to":"wxid_b","text":"\"甲\" tickled \"乙\""}}`},
		"announcement":      {10002, 0, `<sysmsg type="mmchatroombarannouncememt"><mmchatroombarannouncememt><content><![CDATA[At nine]]></content></mmchatroombarannouncememt></sysmsg>`, `{"type":"announcement","text":"At nine","announcement":{"text":"At nine"}}`},
		"application":       {10002, 0, `<sysmsg type="NewXmlChatRoomAccessVerifyApplication"><NewXmlChatRoomAccessVerifyApplication><text><![CDATA[C wants to join]]></text></NewXmlChatRoomAccessVerifyApplication></sysmsg>`, `{"type":"system","text":"C wants to join","notice":{"kind":"NewXmlChatRoomAccessVerifyApplication"}}`},
		"top message":       {10002, 0, `<sysmsg type="mmchatroomtopmsg"><mmchatroomtopmsg><x>1</x></mmchatroomtopmsg></sysmsg>`, `{"type":"system","notice":{"kind":"mmchatroomtopmsg"}}`},
		"group call":        {10002, 0, `<sysmsg type="multivoip"><multivoip><content>A call began</content></multivoip></sysmsg>`, `{"type":"system","text":"A call began","notice":{"kind":"multivoip"}}`},
		"3.x pat":           {10000, 4, "甲 tickled 乙", `{"type":"pat","text":"甲 tickled 乙","pat":{"text":"甲 tickled 乙"}}`},
		"3.x invitation":    {10000, 8000, "甲 invited 乙", `{"type":"join","text":"甲 invited 乙"}`},
		"3.x recalled text": {10000, 1, notice, `{"type":"recall","text":"\"甲\" recalled a message"}`},
		"3.x recalled file": {10000, 6, notice, `{"type":"recall","text":"\"甲\" recalled a message"}`},
		"3.x sub not known": {10000, 99, "words", `{"type":"system","text":"words"}`},
	} {
		if got := said(t, decode(content.Input{Base: c.base, Sub: c.sub, Body: []byte(c.body)})); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// What stands beside the content is used: mentions of msgsource, the text shown, and
// transcripts.
func TestBeside(t *testing.T) {
	source := func(list string) []byte {
		return []byte("<msgsource>\n<atuserlist>" + list + "</atuserlist><silence>1</silence></msgsource>")
	}
	transcript := func(state uint64) []byte {
		b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), state)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "你好")
		return protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), b)
	}
	voice := []byte(`<msg><voicemsg voicelength="1000"/></msg>`)
	for name, c := range map[string]struct {
		in   content.Input
		want string
	}{
		"mentions":       {content.Input{Base: 1, Body: []byte("@甲"), Source: source("<![CDATA[,wxid_a, wxid_b,]]>")}, `{"type":"text","text":"@甲","mentions":["wxid_a","wxid_b"]}`},
		"everybody":      {content.Input{Base: 1, Body: []byte("@"), Source: source("notify@all")}, `{"type":"text","text":"@","mentions":["notify@all"]}`},
		"nobody":         {content.Input{Base: 1, Body: []byte("x"), Source: source("")}, `{"type":"text","text":"x"}`},
		"cut":            {content.Input{Base: 1, Body: []byte("x"), Source: source("wxid_a")[:30]}, `{"type":"text","text":"x"}`},
		"transcript":     {content.Input{Base: 34, Body: voice, Packed: transcript(2)}, `{"type":"voice","voice":{"milliseconds":1000,"transcript":"你好"}}`},
		"not done":       {content.Input{Base: 34, Body: voice, Packed: transcript(1)}, `{"type":"voice","voice":{"milliseconds":1000}}`},
		"a column":       {content.Input{Base: 34, Body: voice, Voice: "hello"}, `{"type":"voice","voice":{"milliseconds":1000,"transcript":"hello"}}`},
		"without XML":    {content.Input{Base: 34, Packed: transcript(2)}, `{"type":"voice","voice":{"transcript":"你好"},"unreadable":"content is empty"}`},
		"call of 3.x":    {content.Input{Base: 50, Display: "通话时长 00:12"}, `{"type":"call","call":{"text":"通话时长 00:12","seconds":12}}`},
		"call of macOS":  {content.Input{Base: 50, Body: []byte("Missed")}, `{"type":"call","call":{"text":"Missed"}}`},
		"display beside": {content.Input{Base: 50, Body: []byte(`<voipinvitemsg/>`), Display: "Missed"}, `{"type":"call","call":{"text":"Missed"}}`},
	} {
		if got := said(t, decode(c.in)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}
