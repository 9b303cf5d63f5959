package collector

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidemark/collector/media"
	"tidemark/record"
	"tidemark/spool"
)

// item is one file that a message has, or one of those of a merged forward, until it is
// captured for good. It stands in the spool as a cursor. Its hints are names of files
// and sums of contents, so its value is encrypted under the device's secret: whoever
// holds the spool alone learns nothing from it.
type item struct {
	Of           string     `json:"o"`           // the message record
	Conversation string     `json:"k,omitempty"` // its conversation
	Want         media.Want `json:"w"`
	Best         int        `json:"b,omitempty"` // rank of the original that is captured, 0 for none
	Small        bool       `json:"q,omitempty"` // preview or cover is captured
	Said         string     `json:"d,omitempty"` // the last state that a record told, when it is not captured
	Added        time.Time  `json:"a"`           // when the message was captured

	key    string
	next   time.Time // when to look again
	why    string    // what it waits for, "" for the file
	asked  bool      // the last rows of the index databases were read for it
	looked bool      // all were
	links  []media.Link
	voices []media.Voice
	later  *media.Want // what the message's row says by now; guarded by attachments.mu
}

// What an item can wait for.
const (
	whyKey     = "image key"
	whyTail    = "what pictures end with"
	whyWritten = "being written"
)

func itemKey(folder, of, item string) string { return "m/p/" + folder + "/" + short(of, item) }

// mediaCipher seals the values of items.
func (c *Collector) mediaCipher() cipher.AEAD {
	m := hmac.New(sha256.New, c.opts.Secret)
	m.Write([]byte("tidemark pending media v1"))
	block, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		panic(err) // the length is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16
	}
	return aead
}

// cursor: version 1, nonce (12), sealed JSON; the key is authenticated with it.
func (c *Collector) itemCursor(it *item) spool.Cursor {
	plain, err := json.Marshal(it)
	if err != nil {
		panic(err) // plain data
	}
	value := make([]byte, 1+12, 1+12+len(plain)+16)
	value[0] = 1
	rand.Read(value[1:]) // never fails
	return spool.Cursor{Key: it.key, Value: c.opened.Seal(value, value[1:], plain, []byte(it.key))}
}

func (c *Collector) decodeItem(key string, value []byte) (*item, error) {
	if len(value) < 1+12 || value[0] != 1 {
		return nil, fmt.Errorf("pending media of %d bytes", len(value))
	}
	plain, err := c.opened.Open(nil, value[1:13], value[13:], []byte(key))
	if err != nil {
		return nil, errors.New("pending media of another device secret")
	}
	it := &item{key: key}
	return it, json.Unmarshal(plain, it)
}

// restore reads what waits for an account's files. What cannot be read any more, for
// the device's secret is another, is a gap: it is not known whose file is meant.
func (at *attachments) restore(ctx context.Context, folder string, facts mediaFacts) (map[string]*item, error) {
	items := map[string]*item{}
	var lost []spool.Cursor
	err := at.c.opts.Spool.Cursors("m/p/"+folder+"/", func(key string, value []byte) error {
		if it, err := at.c.decodeItem(key, value); err == nil {
			items[key] = it
		} else {
			lost = append(lost, spool.Cursor{Key: key})
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return items, err
	}
	gap := at.c.event(record.EventGap, record.SeverityDegraded)
	gap.Account, gap.Client = facts.party, facts.client
	gap.Detail = map[string]string{"reason": "the device's secret is another: files that were waited for are not looked for any more", "files": fmt.Sprint(len(lost))}
	return items, at.c.emit(ctx, []*record.Record{gap}, lost...)
}

// contentKey is the cursor of a content, by a keyed digest of its hash.
func (at *attachments) contentKey(folder, kind, sum string) string {
	m := hmac.New(sha256.New, at.c.opts.Secret)
	m.Write([]byte("tidemark media content v1" + sum))
	return "m/" + kind + "/" + folder + "/" + hex.EncodeToString(m.Sum(nil)[:16])
}

// The kinds of cursors of contents.
const (
	contentDone = "c" // all its pieces are captured
	contentPart = "u" // how many bytes are
)

// after says when an item is looked for again: at once in the message's first minutes,
// then less and less often.
func (it *item) after(now, wall, sent time.Time) time.Time {
	age := wall.Sub(sent)
	if age < freshFor {
		return now.Add(time.Second)
	}
	return now.Add(min(age/60, 10*time.Minute))
}

// media is what a message's record says of the item at first.
func (it *item) first(rules *MediaRules) record.Media {
	m := record.Media{Role: record.RoleOriginal, State: record.MediaPending, Item: it.Want.Item, Name: it.Want.Name, Size: it.Want.Size}
	if it.Want.Item != "" {
		m.Role = record.RoleItem
	}
	switch {
	case !rules.takes(it.Want.Type):
		m.State, m.Cause = record.MediaExcluded, notTaken
	case rules.MaxBytes > 0 && it.Want.Size > rules.MaxBytes:
		m.State, m.Cause = record.MediaTooLarge, tooLarge(rules)
	}
	return m
}

const notTaken = "files of this kind are not captured, by configuration"

func tooLarge(rules *MediaRules) string {
	return fmt.Sprintf("larger than the %d bytes that are captured at most, by configuration", rules.MaxBytes)
}

// role is the role of a captured file in records: items of a merged forward have one of
// their own.
func (it *item) role(role string) string {
	if it.Want.Item != "" && role == record.RoleOriginal {
		return record.RoleItem
	}
	return role
}

// name is the name of a captured file: the one it was sent with, else none, for the
// client's own names are not anybody's.
func (it *item) name(role string) string {
	if role != record.RoleOriginal {
		return ""
	}
	return strings.TrimSpace(it.Want.Name)
}
