package record

import (
	"bytes"
	"encoding/json"
	"time"
)

// The types of messages. A message of any other kind is TypeUnknown, with its row
// kept. docs/coverage.md says for each which of the client's own numbers it comes from
// and how sure that is.
const (
	TypeText          = "text"
	TypeImage         = "image"
	TypeVoice         = "voice"
	TypeVideo         = "video"
	TypeSticker       = "sticker"
	TypeLocation      = "location"
	TypeCard          = "card"
	TypeLink          = "link"
	TypeFile          = "file"
	TypeMiniProgram   = "miniprogram"
	TypeQuote         = "quote"
	TypeForward       = "forward"
	TypeNote          = "note"
	TypeChannel       = "channel"
	TypeGroupChain    = "groupchain"
	TypePat           = "pat"
	TypeTransfer      = "transfer"
	TypeRedPacket     = "redpacket"
	TypeCall          = "call"
	TypeAnnouncement  = "announcement"
	TypeMusic         = "music"
	TypeGame          = "game"
	TypeFriendRequest = "friendrequest"
	TypeSync          = "sync" // state between the owner's own devices: nobody wrote it
	TypeJoin          = "join"
	TypeLeave         = "leave"
	TypeSystem        = "system"
	TypeRecall        = "recall"
	TypeUnknown       = "unknown"
)

// Body is what a message says beyond its text. The member of the message's own type is
// set, the others are nil; each stands in the record's JSON under that type's name,
// beside text. Text that a person wrote is in Record.Text as well, where there is any.
// A field that is empty was not in the client's content.
type Body struct {
	Image         *Image         `json:"image,omitempty"`
	Voice         *Voice         `json:"voice,omitempty"`
	Video         *Video         `json:"video,omitempty"`
	Sticker       *Sticker       `json:"sticker,omitempty"`
	Location      *Location      `json:"location,omitempty"`
	Card          *Card          `json:"card,omitempty"`
	Link          *Link          `json:"link,omitempty"` // links, and music and games, which are links too
	File          *File          `json:"file,omitempty"`
	MiniProgram   *MiniProgram   `json:"miniprogram,omitempty"`
	Quote         *Quote         `json:"quote,omitempty"`
	Forward       *Forward       `json:"forward,omitempty"` // merged forwards and notes
	Channel       *Channel       `json:"channel,omitempty"`
	GroupChain    *GroupChain    `json:"groupchain,omitempty"`
	Pat           *Pat           `json:"pat,omitempty"`
	Transfer      *Transfer      `json:"transfer,omitempty"`
	RedPacket     *RedPacket     `json:"redpacket,omitempty"`
	Call          *Call          `json:"call,omitempty"`
	Announcement  *Announcement  `json:"announcement,omitempty"`
	FriendRequest *FriendRequest `json:"friendrequest,omitempty"`
	Membership    *Membership    `json:"membership,omitempty"` // of joins and leaves
	Notice        *Notice        `json:"notice,omitempty"`     // of system notices and recalls
	App           *App           `json:"app,omitempty"`        // an app message of a number that is not known
}

// Image is a picture. The pictures themselves stand in Record.Media.
type Image struct {
	MD5    string `json:"md5,omitempty"` // as the client states it, often not of the stored file
	Bytes  int64  `json:"bytes,omitempty"`
	Width  int64  `json:"width,omitempty"`
	Height int64  `json:"height,omitempty"`
	Group  string `json:"group,omitempty"` // shared by pictures that were sent together
}

// Voice is a spoken message.
type Voice struct {
	Milliseconds int64  `json:"milliseconds,omitempty"`
	Bytes        int64  `json:"bytes,omitempty"`
	Transcript   string `json:"transcript,omitempty"` // that the client made
}

// Video is a film.
type Video struct {
	MD5     string `json:"md5,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Seconds int64  `json:"seconds,omitempty"`
}

// Sticker is a picture of a set. It usually lies on the vendor's servers only, which
// Tidemark does not talk to.
type Sticker struct {
	MD5   string `json:"md5,omitempty"`
	URL   string `json:"url,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}

// Location is a place. The numbers are kept as the client wrote them.
type Location struct {
	Latitude  string `json:"latitude,omitempty"`
	Longitude string `json:"longitude,omitempty"`
	Scale     string `json:"scale,omitempty"`
	Label     string `json:"label,omitempty"` // the address
	Name      string `json:"name,omitempty"`  // of the point of interest
	Live      bool   `json:"live,omitempty"`  // a place shared while it changes; what is shared is not in the client's files
}

// Card is a contact passed on.
type Card struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Alias string `json:"alias,omitempty"`
	WeCom bool   `json:"wecom,omitempty"`
}

// Link is an article or another thing with an address.
type Link struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url,omitempty"`
	DataURL     string `json:"data_url,omitempty"`  // of music: the sound itself
	Source      string `json:"source,omitempty"`    // the name of who published it
	SourceID    string `json:"source_id,omitempty"` // its username
}

// File is a file that was sent. Transferring says that the client had not finished it.
type File struct {
	Name         string `json:"name,omitempty"`
	Extension    string `json:"extension,omitempty"`
	Bytes        int64  `json:"bytes,omitempty"`
	MD5          string `json:"md5,omitempty"`
	Transferring bool   `json:"transferring,omitempty"`
}

// MiniProgram is a small application passed on.
type MiniProgram struct {
	Title    string `json:"title,omitempty"`
	Name     string `json:"name,omitempty"`
	Username string `json:"username,omitempty"`
	AppID    string `json:"app_id,omitempty"`
	Path     string `json:"path,omitempty"`
	URL      string `json:"url,omitempty"`
}

// Quote is a reply: the new text is Record.Text, this is what it answers.
type Quote struct {
	ServerID string    `json:"server_id,omitempty"` // of the quoted message
	Of       string    `json:"of,omitempty"`        // its record, when ServerID is known
	Sender   *Party    `json:"sender,omitempty"`
	Type     string    `json:"type,omitempty"` // one of the Type constants
	Text     string    `json:"text,omitempty"` // quoted text, or a title for what is no text
	SentAt   time.Time `json:"sent_at,omitzero"`
}

// Forward is several messages passed on as one, or a note.
type Forward struct {
	Title       string        `json:"title,omitempty"`
	Description string        `json:"description,omitempty"`
	Items       []ForwardItem `json:"items,omitempty"`
}

// ForwardItem is one of them. Type is one of the Type constants; DataType is the
// client's number, kept because some are not known.
type ForwardItem struct {
	Type     string   `json:"type"`
	DataType int64    `json:"data_type"`
	ID       string   `json:"id,omitempty"`      // the client's, names the item's file
	Sender   string   `json:"sender,omitempty"`  // the name shown
	SentAt   string   `json:"sent_at,omitempty"` // as the client wrote it: local time of whoever forwarded
	Title    string   `json:"title,omitempty"`
	Text     string   `json:"text,omitempty"`
	URL      string   `json:"url,omitempty"`
	Format   string   `json:"format,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
	MD5      string   `json:"md5,omitempty"`
	Forward  *Forward `json:"forward,omitempty"` // nested
}

// Channel is something of the vendor's video channels. Kind is video, live or card.
type Channel struct {
	Kind        string `json:"kind"`
	ID          string `json:"id,omitempty"`
	Name        string `json:"name,omitempty"`
	Username    string `json:"username,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url,omitempty"`
}

// GroupChain is a list that members of a room extend one after the other.
type GroupChain struct {
	Title string `json:"title,omitempty"`
	Text  string `json:"text,omitempty"`
}

// Pat is one person's nudge of another.
type Pat struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	Text string `json:"text,omitempty"` // as shown, or the template
}

// Transfer is money sent. State is initiated, received, returned, expired or unknown;
// Code is the client's number.
type Transfer struct {
	ID     string `json:"id,omitempty"`
	Amount string `json:"amount,omitempty"` // as shown, with its currency
	Memo   string `json:"memo,omitempty"`
	State  string `json:"state"`
	Code   int64  `json:"code"`
}

// RedPacket is a gift of money.
type RedPacket struct {
	Title         string `json:"title,omitempty"`
	ReceiverTitle string `json:"receiver_title,omitempty"`
	URL           string `json:"url,omitempty"`
}

// Call is a voice or video call. Kind is voice or video, when known.
type Call struct {
	Kind    string `json:"kind,omitempty"`
	Text    string `json:"text,omitempty"` // as shown
	Seconds int64  `json:"seconds,omitempty"`
}

// Announcement is a room's.
type Announcement struct {
	Text string `json:"text,omitempty"`
}

// FriendRequest is somebody's wish to become a contact.
type FriendRequest struct {
	From string `json:"from,omitempty"`
	Name string `json:"name,omitempty"`
	Text string `json:"text,omitempty"`
}

// Membership is a change of who is in a room.
type Membership struct {
	Members []Party `json:"members,omitempty"` // who joined or left
	By      *Party  `json:"by,omitempty"`      // who invited or removed them
}

// Notice is a line of the client's own. Kind is the client's name for it, such as
// revokemsg. Recalls of other messages name them.
type Notice struct {
	Kind     string `json:"kind,omitempty"`
	ServerID string `json:"server_id,omitempty"` // of the message that a recall withdraws
	Of       string `json:"of,omitempty"`        // its record, when ServerID is known
}

// App is an app message whose number this version does not know.
type App struct {
	Number      int64  `json:"number"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url,omitempty"`
}

// appendMembers appends the JSON members of v, an object, each after a comma.
func appendMembers(b []byte, v any) []byte {
	inner := appendAny(nil, v)
	if len(inner) <= len("{}") {
		return b
	}
	return append(append(b, ','), inner[1:len(inner)-1]...)
}

// appendAny appends the JSON form of plain data of this package, which cannot fail.
func appendAny(b []byte, v any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
