package record_test

import (
	"time"

	"tidemark/record"
)

func text(s string) record.Value { return record.Value{Class: record.Text, Bytes: []byte(s)} }
func num(n int64) record.Value   { return record.Value{Class: record.Integer, Int: n} }

var at = time.Date(2026, 11, 23, 8, 0, 0, 123_000_000, time.UTC)

const (
	device = "d_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	sum    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	md5    = "0123456789abcdef0123456789abcdef"
)

// examples are records of every kind, and a message of every type with every member of
// its body; they are the golden vectors and what the schema is held against.
func examples() map[string]*record.Record {
	all := kinds()
	for name, b := range bodies() {
		r := small(name)
		r.Text, r.Body = b.text, &b.body
		all["type-"+name] = r
	}
	return all
}

// small is a message with a short row.
func small(typ string) *record.Record {
	return &record.Record{
		V: 1, Kind: record.KindMessage, ID: record.MessageID("wxid_me", "wxid_x", "7613000000000000001"),
		Device: device, CapturedAt: at, Account: &record.Party{ID: "wxid_me"},
		Client:       &record.Client{App: "wechat", Generation: "3", OS: "darwin"},
		Conversation: &record.Conversation{ID: "wxid_x", Kind: "direct"},
		Sender:       &record.Sender{ID: "wxid_me", Self: true}, SentAt: at.Truncate(time.Second), ServerID: "7613000000000000001",
		Type: typ, Native: &record.Native{Type: 49, Subtype: 5}, Decoder: "wechat3mac/1",
		Source: &record.Source{File: "Message/msg_0.db", Table: "Chat_9e20f478899dc29eb19741386f9343c8", Row: record.Row{{Name: "mesLocalID", Value: num(17)}}},
	}
}

type example struct {
	text *string
	body record.Body
}

// bodies has each type that says more than text.
func bodies() map[string]example {
	of := record.MessageID("wxid_me", "wxid_x", "7612999999999999999")
	party := &record.Party{ID: "wxid_x", Name: "王五"}
	link := record.Body{Link: &record.Link{Title: "T", Description: "D", URL: "https://x.example/?a=1&b=2", DataURL: "https://x.example/a.mp3", Source: "S", SourceID: "gh_s"}}
	forward := record.Body{Forward: &record.Forward{Title: "Chat of A", Description: "A: hi", Items: []record.ForwardItem{
		{Type: "image", DataType: 2, ID: "a2", Sender: "A", SentAt: "2026-1-2 9:05", Format: "jpg", Bytes: 100, MD5: md5},
		{Type: "link", DataType: 5, Title: "T", Text: "D", URL: "https://x.example/"},
		{Type: "forward", DataType: 17, Forward: &record.Forward{Title: "inner", Items: []record.ForwardItem{{Type: "unknown", DataType: 99}}}},
	}}}
	membership := record.Body{Membership: &record.Membership{Members: []record.Party{{ID: "wxid_y", Name: "Y"}, {ID: "wxid_z"}}, By: party}}
	return map[string]example{
		record.TypeImage:         {nil, record.Body{Image: &record.Image{MD5: md5, Bytes: 1000, Width: 640, Height: 480, Group: "g1"}}},
		record.TypeVoice:         {nil, record.Body{Voice: &record.Voice{Milliseconds: 2100, Bytes: 3200, Transcript: "你好"}}},
		record.TypeVideo:         {nil, record.Body{Video: &record.Video{MD5: md5, Bytes: 5000, Seconds: 12}}},
		record.TypeSticker:       {nil, record.Body{Sticker: &record.Sticker{MD5: md5, URL: "http://x.example/", Bytes: 77}}},
		record.TypeLocation:      {nil, record.Body{Location: &record.Location{Latitude: "31.23", Longitude: "121.47", Scale: "16", Label: "Bund 1", Name: "Tower", Live: true}}},
		record.TypeCard:          {nil, record.Body{Card: &record.Card{ID: "1@openim", Name: "C", Alias: "sea", WeCom: true}}},
		record.TypeLink:          {nil, link},
		record.TypeMusic:         {nil, link},
		record.TypeGame:          {nil, link},
		record.TypeFile:          {nil, record.Body{File: &record.File{Name: "a b.pdf", Extension: "pdf", Bytes: 2048, MD5: md5, Transferring: true}}},
		record.TypeMiniProgram:   {nil, record.Body{MiniProgram: &record.MiniProgram{Title: "Order", Name: "Shop", Username: "gh_x@app", AppID: "wx1", Path: "p/i.html", URL: "https://w.example/"}}},
		record.TypeQuote:         {str("my answer"), record.Body{Quote: &record.Quote{ServerID: "7612999999999999999", Of: of, Sender: party, Type: "text", Text: "so & so", SentAt: at.Truncate(time.Hour)}}},
		record.TypeForward:       {nil, forward},
		record.TypeNote:          {nil, forward},
		record.TypeChannel:       {nil, record.Body{Channel: &record.Channel{Kind: "video", ID: "9", Name: "N", Username: "v2@finder", Description: "Film", URL: "https://v.example/"}}},
		record.TypeGroupChain:    {str("#chain\n1. A"), record.Body{GroupChain: &record.GroupChain{Title: "#chain\n1. A", Text: "x"}}},
		record.TypePat:           {str("A tickled B"), record.Body{Pat: &record.Pat{From: "wxid_a", To: "wxid_b", Text: "A tickled B"}}},
		record.TypeTransfer:      {nil, record.Body{Transfer: &record.Transfer{ID: "t1", Amount: "￥1.00", Memo: "lunch", State: "received", Code: 3}}},
		record.TypeRedPacket:     {nil, record.Body{RedPacket: &record.RedPacket{Title: "Luck", ReceiverTitle: "To you", URL: "wxpay://c2c"}}},
		record.TypeCall:          {nil, record.Body{Call: &record.Call{Kind: "voice", Text: "Duration 01:02", Seconds: 62}}},
		record.TypeAnnouncement:  {str("At nine"), record.Body{Announcement: &record.Announcement{Text: "At nine"}}},
		record.TypeFriendRequest: {str("I am Bo"), record.Body{FriendRequest: &record.FriendRequest{From: "wxid_b", Name: "Bo", Text: "I am Bo"}}},
		record.TypeJoin:          {str("X invited Y"), membership},
		record.TypeLeave:         {str("X removed Y"), membership},
		record.TypeSystem:        {str("words"), record.Body{Notice: &record.Notice{Kind: "multivoip"}}},
		record.TypeRecall:        {str("X recalled a message"), record.Body{Notice: &record.Notice{Kind: "revokemsg", ServerID: "7612999999999999999", Of: of}}},
		record.TypeUnknown:       {nil, record.Body{App: &record.App{Number: 4711, Title: "T", Description: "D", URL: "https://x.example/"}}},
		record.TypeSync:          {nil, record.Body{}},
		record.TypeText:          {str("hello"), record.Body{}},
	}
}

// kinds has each kind, and the forms of a message.
func kinds() map[string]*record.Record {
	base := func() record.Record {
		return record.Record{
			V: 1, Kind: record.KindMessage, ID: record.MessageID("wxid_me", "123@chatroom", "7613000000000000001"),
			Device: device, CapturedAt: at, Account: &record.Party{ID: "wxid_me", Name: "我"},
			Client:       &record.Client{App: "weixin", Generation: "4", OS: "windows"},
			Conversation: &record.Conversation{ID: "123@chatroom", Kind: "room", Name: "项目 <A&B>"},
			Sender:       &record.Sender{ID: "wxid_x", Name: "王\"五\"", Self: false}, SentAt: at.Truncate(time.Second),
			ServerID: "7613000000000000001", LocalID: "17", Order: "1763884799000", Type: record.TypeText,
			Text: str("你好, world 🎉\nsecond line\u2028third"), Native: &record.Native{Type: 1}, Decoder: "weixin4/1",
			Source: &record.Source{File: "message/message_0.db", Table: "Msg_9e20f478899dc29eb19741386f9343c8", Row: record.Row{
				{Name: "local_id", Value: num(17)}, {Name: "server_id", Value: num(7613000000000000001)},
				{Name: "message_content", Value: text("wxid_x:\n你好")}, {Name: "compress_content"},
				{Name: "packed_info_data", Value: record.Value{Class: record.Blob, Bytes: []byte{8, 106, 16, 14}}},
				{Name: "not utf-8", Value: text("a\xff\xfeb")}, {Name: "ratio", Value: record.Value{Class: record.Real, Real: 0.1}},
			}},
		}
	}
	message := base()
	unknown := base()
	unknown.Type, unknown.Text, unknown.Native = record.TypeUnknown, nil, &record.Native{Type: 49, Subtype: 57}
	unreadable := base()
	unreadable.Text, unreadable.Unreadable, unreadable.Sender = nil, "content is compressed with the client's own dictionary", nil
	recall := base()
	recall.Kind, recall.Of, recall.Change, recall.Type = record.KindRevision, message.ID, record.ChangeRecall, record.TypeRecall
	recall.ID = record.RevisionID(message.ID, record.ChangeRecall, "10000", recall.ServerID, "notice")
	recall.Text = str("\"王五\" recalled a message")

	mentions := base()
	mentions.Mentions = []string{"wxid_me", "notify@all"}
	picture := record.Media{Role: record.RoleOriginal, SHA256: sum, Size: 1000, MIME: "image/jpeg", Name: "a.jpg", State: record.MediaCaptured,
		Path: "msg/attach/a.dat", Format: "v2"}
	withMedia := small(record.TypeImage)
	withMedia.Body = &record.Body{Image: &record.Image{MD5: md5}}
	withMedia.Media = []record.Media{picture, {Role: record.RolePreview, State: record.MediaPending},
		{Role: record.RoleItem, Item: "a2", State: record.MediaUnreadable, Cause: "no key for its format"}}

	about := func(k record.Kind, id string) *record.Record {
		return &record.Record{V: 1, Kind: k, ID: id, Device: device, CapturedAt: at, Account: &record.Party{ID: "wxid_me"}, Client: message.Client}
	}
	deletion := about(record.KindDeletion, record.DeletionID(message.ID, record.ChangeDeleted))
	deletion.Of, deletion.Change, deletion.Conversation = message.ID, record.ChangeDeleted, message.Conversation
	media := about(record.KindMedia, record.MediaID(message.ID, picture))
	media.Of, media.Media = message.ID, []record.Media{picture}
	piece := about(record.KindMedia, record.PieceID("wxid_me", sum, 1<<20))
	piece.Piece = &record.Piece{SHA256: sum, Size: 2 << 20, Offset: 1 << 20, Data: []byte{0, 255, 16}}
	c := &record.Contact{ID: "1@openim", Kind: "wecom", Nick: "C", Remark: "C of sales", Alias: "sea", Labels: []string{"clients"}, Company: "Sea Ltd", Deleted: true}
	contact := about(record.KindContact, record.ContactID("wxid_me", "", c))
	contact.Contact = c
	d := &record.Contact{ID: c.ID, Kind: c.Kind, Nick: c.Nick, Remark: "C of purchases"}
	changed := about(record.KindContact, record.ContactID("wxid_me", contact.ID, d))
	changed.Of, changed.Contact = contact.ID, d
	g := &record.Room{ID: "123@chatroom", Name: "项目", Owner: "wxid_x", Members: []record.Member{{ID: "wxid_x", Name: "五", Inviter: "wxid_me"}, {ID: "wxid_me"}}, Announcement: "At nine"}
	room := about(record.KindRoom, record.RoomID("wxid_me", "", g))
	room.Room = g

	event := about(record.KindEvent, "e_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	event.Event, event.Severity, event.Since = record.EventKeyMissing, record.SeverityBlind, at.Add(-time.Hour)
	event.Detail = map[string]string{"state": "key missing", "file": "message/message_0.db"}
	recovered := *event
	recovered.ID, recovered.Event, recovered.Severity, recovered.Of = "e_bbbbbbbbbbbbbbbbbbbbbbbbbb", record.EventRecovered, record.SeverityInfo, event.ID
	return map[string]*record.Record{
		"message": &message, "unknown": &unknown, "unreadable": &unreadable, "recall": &recall, "event": event, "recovered": &recovered,
		"mentions": &mentions, "message-media": withMedia, "deletion": deletion, "media": media, "piece": piece, "contact": contact, "contact-changed": changed, "room": room,
	}
}
