package record

// The states of a medium.
const (
	MediaCaptured        = "captured"         // its content is in the archive, under its SHA-256
	MediaPending         = "pending"          // not on this device yet; a media record follows
	MediaThumbnail       = "thumbnail_only"   // only a preview is on this device; it is captured
	MediaNeverDownloaded = "never_downloaded" // the client did not download it within the set time
	MediaExcluded        = "excluded"         // left out by the configured kinds
	MediaTooLarge        = "too_large"        // left out by the configured size
	MediaUnreadable      = "unreadable"       // there, and cannot be decoded or read; Cause says why
)

// The roles of a medium.
const (
	RoleOriginal = "original" // the best that the client has
	RolePreview  = "preview"  // a thumbnail
	RoleCover    = "cover"    // the still picture of a video
	RoleItem     = "item"     // of an item inside a merged forward; Item names it
)

// Media is one file that belongs to a message.
type Media struct {
	Role   string `json:"role"`
	SHA256 string `json:"sha256,omitempty"` // of the content as captured, hex
	Size   int64  `json:"size,omitempty"`   // bytes
	MIME   string `json:"mime,omitempty"`
	Name   string `json:"name,omitempty"`
	State  string `json:"state"`
	Cause  string `json:"cause,omitempty"`
	Item   string `json:"item,omitempty"`   // id of the item in a merged forward
	Path   string `json:"path,omitempty"`   // where it was found, below the account's folder
	Format string `json:"format,omitempty"` // how it was stored: plain, xor, v1, v2
}

// Piece is a part of a file's content, in the media lane. Pieces of one content are
// captured in the order of their offsets, and only once for an account.
type Piece struct {
	SHA256 string `json:"sha256"` // of the whole content, hex
	Size   int64  `json:"size"`   // of the whole content, bytes
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"` // base64
}

// Contact is a person or service as the client's address book has it.
type Contact struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind,omitempty"` // as Conversation.Kind
	Nick    string   `json:"nick,omitempty"`
	Remark  string   `json:"remark,omitempty"` // the owner's own name for it
	Alias   string   `json:"alias,omitempty"`  // the visible id
	Labels  []string `json:"labels,omitempty"`
	Company string   `json:"company,omitempty"` // of a WeCom contact
	Deleted bool     `json:"deleted,omitempty"`
}

// Room is a group conversation.
type Room struct {
	ID           string   `json:"id"`
	Name         string   `json:"name,omitempty"`
	Owner        string   `json:"owner,omitempty"`
	Members      []Member `json:"members,omitempty"`
	Announcement string   `json:"announcement,omitempty"`
}

// Member is somebody in a room.
type Member struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"` // in this room
	Inviter string `json:"inviter,omitempty"`
}
