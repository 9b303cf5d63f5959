package media

import (
	"bytes"
	"database/sql"
	"fmt"
	"path"
	"strings"
	"testing"

	_ "github.com/mutecomm/go-sqlcipher/v4"

	"tidemark/simulator/account"
)

// index is the databases of a generation, in memory.
type index map[string]*sql.DB

func newIndex(t *testing.T, g Generation, hardlink int) index {
	t.Helper()
	in := index{}
	for name, schema := range Schema(g, 0, hardlink) {
		db, err := sql.Open("sqlite3", fmt.Sprintf("file:%s-%d-%s?mode=memory&cache=shared", t.Name(), hardlink, path.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		for _, s := range schema {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		in[name] = db
	}
	return in
}

// insert executes rows as the writer of an account does.
func (in index) insert(t *testing.T, rows []Row) {
	t.Helper()
	var last int64
	_, rows = Numbered(nil, rows, 17)
	for _, r := range rows {
		db := in[r.Database]
		if db == nil {
			t.Fatalf("no database %s", r.Database)
		}
		stmt, args, err := r.Insert(func(v any) (any, error) {
			switch v := v.(type) {
			case NameID:
				if _, err := db.Exec(`INSERT OR IGNORE INTO `+v.Table+`(`+v.Column+`) VALUES(?)`, v.Name); err != nil {
					return nil, err
				}
				var id int64
				err := db.QueryRow(`SELECT rowid FROM `+v.Table+` WHERE `+v.Column+` = ?`, v.Name).Scan(&id)
				return id, err
			case LastID:
				return last, nil
			}
			return nil, fmt.Errorf("%T is left", v)
		})
		if err != nil {
			t.Fatal(err)
		}
		res, err := db.Exec(stmt, args...)
		if err != nil {
			t.Fatal(r.Table, err)
		}
		last, _ = res.LastInsertId()
	}
}

func (in index) row(t *testing.T, db, query string, args ...any) []string {
	t.Helper()
	rows, err := in[db].Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("%s: no row: %v", query, err)
	}
	out := make([]string, len(columns))
	dest := make([]any, len(out))
	for i := range out {
		dest[i] = &out[i]
	}
	if err := rows.Scan(dest...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

func original(a Attachment) File {
	for _, f := range a.Files {
		if f.Role == Original {
			return f
		}
	}
	return File{}
}

// Promise: the joins of section 8.1 lead from the XML's hash to the file, and
// BytesExtra leads there too.
func TestIndexW3(t *testing.T) {
	in, m := newIndex(t, W3, 0), maker(W3, 1)
	for kind, a := range map[string]Attachment{"Image": m.Image(Image{}), "Video": m.Video(Video{}), "File": m.Document(Document{Name: "a.pdf"})} {
		in.insert(t, a.Rows)
		got := in.row(t, "HardLink"+kind+".db", fmt.Sprintf(`SELECT x.Dir, y.Dir, FileName FROM HardLink%[1]sAttribute
			JOIN HardLink%[1]sID x ON x.DirId = DirID1 JOIN HardLink%[1]sID y ON y.DirId = DirID2 WHERE lower(hex(Md5)) = ?`, kind), a.MD5)
		p := path.Join("FileStorage", kind, got[1], got[2])
		if kind == "Image" {
			p = path.Join("FileStorage/MsgAttach", got[0], "Image", got[1], got[2])
		}
		if f := original(a); f.Path != p {
			t.Errorf("%s: the index leads to %s, the file is %s", kind, p, f.Path)
		}
		extra := a.Extra[len(a.Extra)-1]
		if _, rest, _ := strings.Cut(extra.Value, `\`); extra.Kind != 4 || strings.ReplaceAll(rest, `\`, "/") != p {
			t.Errorf("%s: BytesExtra leads to %s", kind, extra.Value)
		}
		for _, f := range a.Files { // a thumbnail has its picture's name
			if f.Role == Preview && f.Path != path.Join("FileStorage/MsgAttach", got[0], "Thumb", got[1], got[2]) {
				t.Errorf("%s: the index does not lead to %s", kind, f.Path)
			}
		}
	}
	a := m.Voice(3000, 2, All)
	in.insert(t, a.Rows)
	if got := in.row(t, "Multi/MediaMSG0.db", `SELECT Buf FROM Media WHERE Reserved0 = ?`, m.Server); got[0] != string(a.Files[0].Plain) {
		t.Error("voice: the database holds something else")
	}
}

// Promise: hldata.db leads from the hash to the file, by section 8.5.
func TestIndexM3(t *testing.T) {
	in, m := newIndex(t, M3, 0), maker(M3, 1)
	for kind, a := range map[string]Attachment{"image": m.Image(Image{HD: true}), "video": m.Video(Video{}), "file": m.Document(Document{Name: "a.pdf"})} {
		a.Files, a.Rows = Numbered(a.Files, a.Rows, 17)
		in.insert(t, a.Rows)
		if p := original(a).Path; kind != "file" && !strings.HasPrefix(path.Base(p), "17_") {
			t.Errorf("%s: %s is not numbered by the row", kind, p)
		}
		got := in.row(t, account.M3LinkFile, `SELECT relativePath, fileName, mediaSize FROM HlinkMediaRecord JOIN HlinkMediaDetail USING(inodeNumber) WHERE mediaMd5 = ?`, a.MD5)
		if f := original(a); f.Path != path.Join("Message/MessageTemp", got[0], got[1]) || fmt.Sprint(f.Size) != got[2] {
			t.Errorf("%s: the index leads to %v, the file is %s", kind, got, f.Path)
		}
	}
}

// Promise: hardlink.db, message_resource.db and the pieces of a voice lead where
// sections 8.2 and 8.3 say, in both versions of the tables.
func TestIndexV4(t *testing.T) {
	for _, version := range []int{3, 4} {
		in, m := newIndex(t, V4, version), maker(V4, uint64(version))
		m.Hardlink = version
		forward, hashes := m.Forwarded("a.pdf", [3]string{"a", "b", "c"})
		in.insert(t, forward.Rows)
		link := func(kind, md5 string) string {
			got := in.row(t, "hardlink/hardlink.db", fmt.Sprintf(`SELECT x.username, coalesce(y.username, ''), file_name, type, coalesce(extra_buffer, '') FROM %s_hardlink_info_v%d
				JOIN dir2id x ON x.rowid = dir1 LEFT JOIN dir2id y ON y.rowid = dir2 WHERE md5 = ?`, kind, version), md5)
			switch {
			case got[3] != "1":
				sub := map[string]string{"4": "Img", "5": "V", "6": "F"}[got[3]]
				return path.Join("msg/attach", got[0], got[1], "Rec", got[4], sub, got[2])
			case kind == "image":
				return path.Join("msg/attach", got[0], got[1], "Img", got[2])
			}
			return path.Join("msg", kind, got[0], got[2])
		}
		for i, f := range forward.Files {
			if got := link([]string{"image", "video", "file"}[i], hashes[i]); got != f.Path {
				t.Errorf("forwarded: the index leads to %s, the file is %s", got, f.Path)
			}
		}
		for kind, a := range map[string]Attachment{"image": m.Image(Image{Found: ByHardlink}), "video": m.Video(Video{}), "file": m.Document(Document{Name: "a.pdf", Clash: true})} {
			in.insert(t, a.Rows)
			if got := link(kind, a.MD5); got != original(a).Path {
				t.Errorf("%s: the index leads to %s, the file is %s", kind, got, original(a).Path)
			}
		}
		a := m.Image(Image{Found: ByResource})
		in.insert(t, a.Rows)
		got := in.row(t, "message/message_resource.db", `SELECT user_name, message_local_id, i.packed_info, d.size FROM MessageResourceInfo i
			JOIN ChatName2Id c ON c.rowid = chat_id JOIN MessageResourceDetail d ON d.message_id = i.message_id WHERE message_svr_id = ? ORDER BY i.message_id DESC`, m.Server)
		stem := strings.TrimSuffix(path.Base(original(a).Path), ".dat")
		if got[0] != m.Chat || got[1] != "17" || got[2] != "\x12\x22\x0a\x20"+stem || got[3] != fmt.Sprint(original(a).Size) {
			t.Errorf("resource: %q, the stem is %s", got, stem)
		}
		if a := m.Image(Image{Found: ByPacked}); !bytes.Contains(a.Packed, append([]byte{3<<3 | 2, 34, 4<<3 | 2, 32}, stemOf(a)...)) || a.Rows != nil {
			t.Errorf("packed: % x", a.Packed)
		}

		a = m.Voice(3000, 3, All)
		in.insert(t, a.Rows)
		rows, err := in["message/media_0.db"].Query(`SELECT voice_data FROM VoiceInfo WHERE svr_id = ? ORDER BY data_index`, m.Server)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		pieces := 0
		for ; rows.Next(); pieces++ {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		if pieces != 3 || !bytes.Equal(all, a.Files[0].Plain) {
			t.Errorf("voice: %d pieces of %d bytes", pieces, len(all))
		}
	}
}

func stemOf(a Attachment) string { return strings.TrimSuffix(path.Base(original(a).Path), ".dat") }
