package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/simulator/account"
	"tidemark/simulator/media"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// asStored is an oracle that promises of each message what is in its row, and nothing of
// what a decoder must make of it.
func asStored(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "oracle"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for l := range bytes.Lines(b) {
		var ln map[string]any
		d := json.NewDecoder(bytes.NewReader(l))
		d.UseNumber()
		if err := d.Decode(&ln); err != nil {
			t.Fatal(err)
		}
		if ch, ok := ln["change"].(map[string]any); ok {
			if content, ok := ch["content"]; ok {
				ch["text"] = content
			}
			for _, name := range []string{"kind", "content", "expect", "media", "mentions", "quote_of"} {
				delete(ch, name)
			}
			if ch["op"] == oracle.Amend { // the readers see the last state only
				ch["op"] = oracle.Status
			}
		}
		if err := json.NewEncoder(&out).Encode(ln); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// Promise: a chat of every kind says each of them, in every generation; its rows hold
// what the oracle tells; every file that must be captured is there, when the chat has
// ended also those that come late; voices and index rows are in their databases.
func TestEveryKind(t *testing.T) {
	for _, g := range []account.Generation{account.V4, account.W3, account.M3} {
		t.Run(string(g), func(t *testing.T) {
			dir := t.TempDir()
			if g == account.V4 {
				dir = newDir(t)
			}
			p := account.Place{Root: dir, Name: "wxid_tide", Suffix: "1a2b", Generation: g}
			c, done := client(t, dir, g)
			stats, err := c.Chat(context.Background(), ChatOptions{Seed: 3, Count: 220, Kinds: true, Images: ImageKeys("wxid_tide", 3)})
			if err != nil {
				t.Fatal(err)
			}
			done()
			if stats.Amended == 0 {
				t.Error("no message went on to another state")
			}
			changes, _ := committed(t, dir)
			kinds, files := map[string]int{}, 0
			for _, ch := range changes {
				if ch.Op != oracle.Insert {
					continue
				}
				kinds[ch.Kind]++
				for _, m := range ch.Media {
					if m.State == media.Captured {
						files++
						if len(m.SHA256) != 64 || m.Size == 0 {
							t.Errorf("change %d promises a file without its hash", ch.N)
						}
					}
				}
			}
			for _, want := range strings.Fields(`text image voice video sticker location card link file miniprogram quote forward note channel groupchain pat transfer
				redpacket call announcement system recall join leave friendrequest music game sync unknown`) {
				if kinds[want] == 0 {
					t.Errorf("nobody said a %s", want)
				}
			}
			found := 0
			filepath.WalkDir(p.Dir(), func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() && !strings.Contains(path, ".db") {
					found++
				}
				return err
			})
			voices := map[account.Generation]string{account.V4: "message/media_0.db", account.W3: "Multi/MediaMSG0.db"}[g]
			if voices != "" {
				table := map[account.Generation]string{account.V4: "VoiceInfo WHERE svr_id", account.W3: "Media WHERE Reserved0"}[g]
				var n int
				cipher := map[account.Generation]writer.Cipher{account.W3: writer.Cipher3}[g]
				if err := copyOf(t, p, voices, cipher).QueryRow(`SELECT count(*) FROM ` + table + ` <> 0`).Scan(&n); err != nil || n == 0 {
					t.Errorf("voices: %d, %v", n, err)
				}
				found += n
			}
			if found < files {
				t.Errorf("%d files promised, %d are there", files, found)
			}
			wantRows(t, p, lastContent(t, asStored(t, dir), changes))
		})
	}
}

// lastContent gives the insert of an amended message its last content and type.
func lastContent(t *testing.T, truth []byte, changes []oracle.Committed) []byte {
	t.Helper()
	last := map[[2]string]oracle.Change{}
	for _, ch := range changes {
		if ch.Op == oracle.Amend {
			last[[2]string{ch.Table, ch.LocalID}] = ch.Change
		}
	}
	var out bytes.Buffer
	for l := range bytes.Lines(truth) {
		var ln map[string]any
		d := json.NewDecoder(bytes.NewReader(l))
		d.UseNumber()
		if err := d.Decode(&ln); err != nil {
			t.Fatal(err)
		}
		if ch, ok := ln["change"].(map[string]any); ok && ch["op"] == oracle.Insert {
			table, _ := ch["table"].(string)
			id, _ := ch["local_id"].(string)
			if a, ok := last[[2]string{table, id}]; ok {
				ch["text"], ch["type"] = a.Content, a.Type
			}
		}
		if err := json.NewEncoder(&out).Encode(ln); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// Promise: one seed gives an account one set of picture keys, in the form the client has.
func TestImageKeys(t *testing.T) {
	a, b, c := ImageKeys("wxid_a", 1), ImageKeys("wxid_a", 1), ImageKeys("wxid_a", 2)
	if a != b || a == c || a.XOR == 0 {
		t.Error("picture keys do not follow the seed")
	}
	for _, r := range string(a.AES[:]) {
		if r < '0' || r > 'f' {
			t.Error("a picture key is not printable")
		}
	}
}
