// Package disclosure is what the users of a device are told of the recorder on it: the
// notice, whose acknowledgement each user keeps in a file of the own profile, and the
// manifest, a public file that says what is captured, where to and for how long.
//
// Files, rather than questions to the running agent, carry both ways: they work alike on
// every system, need no right of one user over another, and are there when the agent is
// not. The agent writes the manifest where everybody reads it; a user's acknowledgement
// lies in that user's profile, where nobody else but an administrator writes.
//
// Nothing here holds content, a key, or the name of another user's account.
package disclosure

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The languages that texts of our own are in.
const (
	English = "en"
	Chinese = "zh"
)

// The values of capture.notice.
const (
	NoticeOff      = "off"      // the organisation tells its people itself
	NoticeShow     = "show"     // shown to each user, capture does not wait
	NoticeRequired = "required" // nothing of an account is captured until its user has acknowledged
)

// Notice is what the organisation tells its people.
type Notice struct {
	Organisation string `json:"organisation,omitempty"` // who records
	Version      string `json:"version"`                // of the text: another one is acknowledged anew
	Mode         string `json:"mode"`                   // one of the Notice constants
	Text         string `json:"text,omitempty"`         // the organisation's own words; "" means ours
	Retention    string `json:"retention,omitempty"`    // how long records are kept, in the organisation's words
	Contact      string `json:"contact,omitempty"`      // whom to ask
	Archive      string `json:"archive,omitempty"`      // where records go
}

// Active says whether users are asked to acknowledge it.
func (n Notice) Active() bool { return n.Mode == NoticeShow || n.Mode == NoticeRequired }

// Complete gives a notice without a version the one that its words make, so that words
// that change are acknowledged anew.
func (n Notice) Complete() Notice {
	if n.Version == "" {
		n.Version = n.Digest()[:8]
	}
	return n
}

// Digest is the SHA-256, in hex, of the words in every language.
func (n Notice) Digest() string {
	sum := sha256.Sum256([]byte("tidemark notice v1\n" + n.In(English) + "\n\n" + n.In(Chinese)))
	return hex.EncodeToString(sum[:])
}

// In is the whole notice in a language. The organisation's own text is in the language
// that it was written in.
func (n Notice) In(language string) string {
	if n.Text != "" {
		return strings.TrimSpace(n.Text)
	}
	w := words(language)
	who := orElse(n.Organisation, w.someone)
	lines := []string{
		strings.ReplaceAll(w.records, "{who}", who),
		w.what,
		strings.ReplaceAll(w.kept, "{how long}", orElse(n.Retention, w.rules)),
		strings.ReplaceAll(w.ask, "{whom}", orElse(n.Contact, w.someone2)),
		w.mine,
	}
	if n.Archive != "" {
		lines[2] = strings.ReplaceAll(w.to, "{archive}", n.Archive) + w.space + lines[2]
	}
	return strings.Join(lines, "\n\n")
}

type sentences struct {
	records, what, to, kept, ask, mine string
	someone, someone2, rules, space    string
}

func words(language string) sentences {
	if language == Chinese {
		return sentences{
			records:  "本电脑上的商务微信聊天记录由{who}通过 Tidemark 留存，以履行法定的记录保存义务。",
			what:     "在规定范围内，WeChat 数据库中的消息、图片、语音、视频和文件，以及之后的撤回、修改和删除都会被留存。Tidemark 不读取其他程序的内存，不截屏，不记录键盘，也不修改微信的文件。",
			to:       "记录加密后送往档案库 {archive}。",
			kept:     "保存期限：{how long}。",
			ask:      "如有疑问，请联系{whom}。",
			mine:     "运行 tidemark mine 可以查看您的哪些账号被留存，运行 tidemark notice 可以再次查看本通知。",
			someone:  "您的单位",
			someone2: "您的单位",
			rules:    "按您单位的规定",
		}
	}
	return sentences{
		records: "{who} records the business WeChat conversations on this computer with Tidemark, to keep the records that the law asks for.",
		what: "Within the scope that was set, messages, pictures, voice, videos and files in WeChat's databases are kept, and what becomes of them later: recalls, changes, deletions. " +
			"Tidemark reads no other program's memory, takes no screenshots, records no keys, and changes nothing of WeChat's.",
		to:       "The records are encrypted and sent to the archive {archive}.",
		kept:     "They are kept {how long}.",
		ask:      "Questions are answered by {whom}.",
		mine:     "The command \"tidemark mine\" shows which of your accounts are recorded, and \"tidemark notice\" shows this notice again.",
		someone:  "Your organisation",
		someone2: "your organisation",
		rules:    "for as long as your organisation's rules say",
		space:    " ",
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Language picks one of ours from the names that systems give to languages, such as
// zh_CN.UTF-8 or zh-Hans-CN; the first that is set decides.
func Language(names ...string) string {
	for _, name := range names {
		if name == "" {
			continue
		}
		if strings.HasPrefix(strings.ToLower(name), Chinese) {
			return Chinese
		}
		return English
	}
	return English
}
