package content_test

import (
	"encoding/json"
	"html"
	"reflect"
	"strings"
	"testing"

	"tidemark/collector/wechat/content"
	"tidemark/record"
)

func item(datatype, id, inner string) string {
	return `<dataitem datatype="` + datatype + `" dataid="` + id + `"><sourcename>甲</sourcename><sourcetime>2026-1-2 9:05</sourcetime>` + inner + `</dataitem>`
}

func recordInfo(items ...string) string {
	return `<recordinfo><title>Chat of A &amp; B</title><desc>A: hi</desc><datalist count="9">` + strings.Join(items, "\n") + `</datalist></recordinfo>`
}

func merged(number, recorditem string) []byte {
	return []byte(app(`<title>Chat of A &amp; B</title><des>A: hi</des><type>` + number + `</type><recorditem>` + recorditem + `</recorditem>`))
}

func cdata(s string) string { return "<![CDATA[" + s + "]]>" }

// Every kind of item of a merged forward is decoded, however the list is packed into the
// message, and what has a file is named for whoever looks for it.
func TestForward(t *testing.T) {
	list := recordInfo(
		item("1", "a1", `<datadesc>hello</datadesc>`),
		item("2", "a2", `<datafmt>jpg</datafmt><datasize>100</datasize><fullmd5>`+SUM+`</fullmd5>`),
		item("3", "a3", `<datafmt>silk</datafmt>`),
		item("4", "a4", `<datafmt>mp4</datafmt>`),
		item("5", "a5", `<datatitle>T</datatitle><link>http://x</link>`),
		item("6", "a6", `<locitem><poiname>Tower</poiname><label>Bund 1</label></locitem>`),
		item("8", "a8", `<datatitle>a.pdf</datatitle><datafmt>pdf</datafmt><datasize>2048</datasize>`),
		item("17", "a17", `<datatitle>nested</datatitle><recordxml>`+recordInfo(item("2", "b2", ``))+`</recordxml>`),
		item("19", "a19", `<datatitle>Order</datatitle>`),
		item("22", "a22", `<finderFeed><nickname>N</nickname><desc>Film</desc></finderFeed>`),
		item("23", "a23", `<finderLive><nickname>N</nickname></finderLive>`),
		item("32", "a32", `<datatitle>Song</datatitle><streamweburl>http://s</streamweburl>`),
		item("37", "a37", ``),
		item("99", "a99", `<datatitle>?</datatitle>`),
		item("", "", ``),
	)
	const who = `"sender":"甲","sent_at":"2026-1-2 9:05"`
	want := `"forward":{"title":"Chat of A & B","description":"A: hi","items":[` + strings.Join([]string{
		`{"type":"text","data_type":1,"id":"a1",` + who + `,"text":"hello"}`,
		`{"type":"image","data_type":2,"id":"a2",` + who + `,"format":"jpg","bytes":100,"md5":"` + SUM + `"}`,
		`{"type":"voice","data_type":3,"id":"a3",` + who + `,"format":"silk"}`,
		`{"type":"video","data_type":4,"id":"a4",` + who + `,"format":"mp4"}`,
		`{"type":"link","data_type":5,"id":"a5",` + who + `,"title":"T","url":"http://x"}`,
		`{"type":"location","data_type":6,"id":"a6",` + who + `,"title":"Tower","text":"Bund 1"}`,
		`{"type":"file","data_type":8,"id":"a8",` + who + `,"title":"a.pdf","format":"pdf","bytes":2048}`,
		`{"type":"forward","data_type":17,"id":"a17",` + who + `,"title":"nested","forward":{"title":"Chat of A & B","description":"A: hi","items":[{"type":"image","data_type":2,"id":"b2",` + who + `}]}}`,
		`{"type":"miniprogram","data_type":19,"id":"a19",` + who + `,"title":"Order"}`,
		`{"type":"channel","data_type":22,"id":"a22",` + who + `,"title":"N","text":"Film"}`,
		`{"type":"channel","data_type":23,"id":"a23",` + who + `,"title":"N"}`,
		`{"type":"music","data_type":32,"id":"a32",` + who + `,"title":"Song","url":"http://s"}`,
		`{"type":"sticker","data_type":37,"id":"a37",` + who + `}`,
		`{"type":"unknown","data_type":99,"id":"a99",` + who + `,"title":"?"}`,
		`{"type":"unknown","data_type":0,` + who + `}`,
	}, ",") + `]}`
	items := []content.Item{
		{ID: "a2", Type: "image", MD5: sum, Format: "jpg", Bytes: 100}, {ID: "a3", Type: "voice", Format: "silk"},
		{ID: "a4", Type: "video", Format: "mp4"}, {ID: "a8", Type: "file", Name: "a.pdf", Format: "pdf", Bytes: 2048},
		{ID: "b2", Type: "image"}, {ID: "a37", Type: "sticker"},
	}
	for name, packed := range map[string]string{
		"CDATA": cdata(list), "escaped": html.EscapeString(list), "escaped twice": html.EscapeString(html.EscapeString(list)), "elements": list,
		"nested as text": cdata(strings.NewReplacer("<recordxml>", "<recordxml>"+html.EscapeString(recordInfo(item("2", "b2", "")))+"<!--", "</recordxml>", "--></recordxml>").Replace(list)),
	} {
		for number, kind := range map[string]string{"19": "forward", "40": "forward", "24": "note"} {
			out := decode(content.Input{Base: 49, Body: merged(number, packed)})
			if got := said(t, out); got != `{"type":"`+kind+`",`+want+`}` {
				t.Errorf("%s, %s:\n got %s\nwant %s", name, number, got, want)
			}
			if !reflect.DeepEqual(out.Hints.Items, items) {
				t.Errorf("%s, %s: hints %+v", name, number, out.Hints.Items)
			}
		}
	}
	if got := said(t, decode(content.Input{Base: 49, Body: []byte(app(`<type>24</type><des>shopping list</des>`))})); got != `{"type":"note","forward":{"description":"shopping list"}}` {
		t.Errorf("a note of its description alone: %s", got)
	}
}

// Records nested in records are followed eight deep; what is deeper is said to be so.
func TestNested(t *testing.T) {
	for depth, want := range map[int]string{8: "", 9: "a merged forward is nested deeper than is decoded", 20: "a merged forward is nested deeper than is decoded"} {
		info := recordInfo(item("1", "last", `<datadesc>bottom</datadesc>`))
		for range depth - 1 {
			info = recordInfo(item("17", "n", `<recordxml>`+info+`</recordxml>`))
		}
		out := decode(content.Input{Base: 49, Body: merged("19", cdata(info))})
		if out.Unreadable != want {
			t.Errorf("%d deep: %q", depth, out.Unreadable)
		}
		levels := 0
		for f := out.Body.Forward; f != nil && len(f.Items) > 0; f = f.Items[0].Forward {
			levels++
		}
		if levels != min(depth, 8) {
			t.Errorf("%d deep: %d levels", depth, levels)
		}
	}
}

// Content that is not as its type has it is named, keeps its type, and says what could be
// had of it.
func TestFaults(t *testing.T) {
	const good = `<msg><location x="1" y="2" label="here"/></msg>`
	const here = `{"type":"location","location":{"latitude":"1","longitude":"2","label":"here"}`
	for name, c := range map[string]row{
		"empty":               {3, 0, ``, `{"type":"image","unreadable":"content is empty"}`},
		"no XML":              {3, 0, `words`, `{"type":"image","unreadable":"content is not well-formed XML"}`},
		"of another type":     {3, 0, good, `{"type":"image","unreadable":"content lacks what its type has"}`},
		"cut in the element":  {48, 0, good[:20], `{"type":"location","unreadable":"content ends within its XML"}`},
		"cut behind it":       {48, 0, strings.TrimSuffix(good, "</msg>"), here + `,"unreadable":"content ends within its XML"}`},
		"broken behind it":    {48, 0, strings.Replace(good, "</msg>", "<</msg> and more", 1), here + `,"unreadable":"content is not well-formed XML"}`},
		"not UTF-8":           {48, 0, strings.Replace(good, "here", "h\xffre", 1), `{"type":"location","location":{"latitude":"1","longitude":"2","label":"h�re"},"unreadable":"content is not valid UTF-8"}`},
		"text not UTF-8":      {1, 0, "h\xff", `{"type":"text","unreadable":"content is not valid UTF-8"}`},
		"notice not UTF-8":    {10000, 0, "h\xff", `{"type":"system","unreadable":"content is not valid UTF-8"}`},
		"too deep":            {48, 0, strings.Repeat("<a>", 200) + good, `{"type":"location","unreadable":"content has more parts than are decoded"}`},
		"too many parts":      {48, 0, good + strings.Repeat("<a/>", 60_000), here + `,"unreadable":"content has more parts than are decoded"}`},
		"too long":            {48, 0, good + strings.Repeat(" ", 9<<20), here + `,"unreadable":"content has more parts than are decoded"}`},
		"app, no XML":         {49, 6, `words`, `{"type":"file","unreadable":"content is not well-formed XML"}`},
		"app, never seen":     {49, 4711, ``, `{"type":"unknown","unreadable":"content is empty"}`},
		"app without number":  {49, 0, app(`<title>T</title>`), `{"type":"unknown","app":{"number":0,"title":"T"}}`},
		"reply to nothing":    {49, 57, app(`<title>T</title>`), `{"type":"quote","text":"T","unreadable":"content lacks what its type has"}`},
		"forward of nothing":  {49, 19, app(`<title>T</title>`), `{"type":"forward","forward":{"title":"T"},"unreadable":"content lacks what its type has"}`},
		"forward, broken":     {49, 19, app(`<title>T</title><recorditem>&lt;recordinfo&gt;&lt;dat</recorditem>`), `{"type":"forward","forward":{"title":"T"},"unreadable":"content ends within its XML"}`},
		"transfer of nothing": {49, 2000, app(``), `{"type":"transfer","unreadable":"content lacks what its type has"}`},
		"pat of nobody":       {49, 62, app(`<title>T</title>`), `{"type":"pat","text":"T","unreadable":"content lacks what its type has"}`},
		"recall, cut":         {10002, 0, `<sysmsg type="revokemsg"><revokemsg><newmsgid>77</newmsgid><repl`, `{"type":"recall","notice":{"kind":"revokemsg","server_id":"77","of":"m_77"},"unreadable":"content ends within its XML"}`},
	} {
		if got := said(t, decode(content.Input{Base: c.base, Sub: c.sub, Body: []byte(c.body)})); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// What XML forbids and messages hold all the same costs nothing of the message.
func TestTolerance(t *testing.T) {
	const want = `{"type":"location","location":{"latitude":"1","longitude":"2","label":"%"}}`
	for name, c := range map[string][2]string{
		"declared as GBK":    {`<?xml version="1.1" encoding="gbk"?><msg><location x="1" y="2" label="h"/></msg>`, "h"},
		"control characters": {"<msg><location x=\"1\" y=\"2\" label=\"h\x01\x0b\"/></msg>", "h\ufffd\ufffd"},
		"forbidden rune":     {"<msg><location x=\"1\" y=\"2\" label=\"h\uffff\"/></msg>", "h\ufffd"},
		"forbidden number":   {`<msg><location x="1" y="2" label="h&#1;&#x1F;&#20320;"/></msg>`, "h&#1;&#x1F;你"},
		"unknown entity":     {`<msg><location x="1" y="2" label="h &nbsp; & i"/></msg>`, "h &nbsp; & i"},
		"no quotes":          {`<msg><location x=1 y=2 label=h></msg>`, "h"},
		"upper case":         {`<MSG><LOCATION X="1" Y="2" LABEL="h"/></MSG>`, "h"},
		"end without begin":  {`<msg></br><location x="1" y="2" label="h"/></msg>`, "h"},
		"sender before it":   {"wxid_q:\n<msg><location x=\"1\" y=\"2\" label=\"h\"/></msg>", "h"},
		"document type":      {`<!DOCTYPE a [<!ENTITY b "cc">]><msg><location x="1" y="2" label="h&b;"/></msg>`, "h&b;"},
	} {
		if got, want := said(t, decode(content.Input{Base: 48, Body: []byte(c[0])})), strings.Replace(want, "%", c[1], 1); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// A text message costs no memory, mentions apart.
func TestTextCostsNothing(t *testing.T) {
	in := content.Input{Base: 1, Body: []byte("你好"), Source: []byte("<msgsource><silence>0</silence></msgsource>")}
	var out content.Result
	var r record.Record
	if n := testing.AllocsPerRun(100, func() {
		content.Decode(&in, &out)
		out.Fill(&r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if r.Type != record.TypeText || *r.Text != "你好" {
		t.Errorf("the record says %s %v", r.Type, r.Text)
	}
}

// Whatever content and columns hold, decoding ends without a panic, with a type, and with
// what a record can hold and a reader read back.
func FuzzDecode(f *testing.F) {
	for _, base := range []int64{1, 3, 34, 37, 42, 43, 47, 48, 50, 51, 62, 65, 66, 67, 10000, 10002, 11000} {
		f.Add(base, int64(0), []byte(`<msg><img md5="x"/><voicemsg length="1"/><videomsg/><emoji/><location x="1"/><VoIPBubbleMsg><msg>1:02</msg></VoIPBubbleMsg></msg>`), []byte("<atuserlist>a,b</atuserlist>"), []byte{42, 4, 8, 2, 18, 0})
	}
	f.Add(int64(10002), int64(0), []byte(`<sysmsg type="sysmsgtemplate"><template>$names$</template><link_list><link name="names"><memberlist><member><username>a</username></member></memberlist></link></link_list></sysmsg>`), []byte(nil), []byte(nil))
	f.Add(int64(10002), int64(0), []byte(`<sysmsg type="revokemsg"><revokemsg><newmsgid>1</newmsgid></revokemsg></sysmsg>`), []byte(nil), []byte(nil))
	f.Add(int64(49), int64(57), []byte(app(`<title>t</title><refermsg><type>49</type><content>&lt;appmsg&gt;</content><createtime>1</createtime></refermsg>`)), []byte(nil), []byte(nil))
	f.Add(int64(49), int64(19), merged("19", cdata(recordInfo(item("17", "a", "<recordxml>"+recordInfo(item("1", "b", ""))+"</recordxml>")))), []byte(nil), []byte(nil))
	for _, n := range []int64{1, 3, 6, 8, 17, 33, 44, 51, 53, 62, 63, 87, 2000, 2001, 4711} {
		f.Add(int64(49), n, []byte(app(`<title>t</title><wcpayinfo/><appattach/><patinfo/><finderFeed/>`)), []byte(nil), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, base, sub int64, body, source, packed []byte) {
		out := decode(content.Input{Base: base, Sub: sub, Body: body, Source: source, Packed: packed})
		if out.Type == "" {
			t.Fatal("no type")
		}
		if line := said(t, out); !json.Valid([]byte(line)) {
			t.Fatalf("not JSON: %s", line)
		}
		if out.Unreadable == "" && base == 1 && string(body) != *out.Text {
			t.Fatal("text differs")
		}
	})
}
