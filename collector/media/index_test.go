package media

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/record"
)

// database is a plain SQLite in memory, in the place of a snapshot.
type database struct{ conn *sqlite3.Conn }

func (d database) Prepare(sql string) (*sqlite3.Stmt, error) {
	s, _, err := d.conn.Prepare(sql)
	return s, err
}

func newDatabase(t testing.TB, sql string) database {
	t.Helper()
	c, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d := database{c}
	d.exec(t, sql)
	return d
}

func (d database) exec(t testing.TB, sql string) {
	t.Helper()
	if err := d.conn.Exec(sql); err != nil {
		t.Fatal(err)
	}
}

func links(t *testing.T, d database, layout string, from Positions, wanted string) (out []Link, after Positions) {
	t.Helper()
	after, err := Links(d, layout, from, func(md5 string) bool { return md5 == wanted }, func(l Link) { out = append(out, l) })
	if err != nil {
		t.Fatal(err)
	}
	return out, after
}

// Each generation's index is read: both versions of 4.x, MD5s as text in any case and
// as bytes, folders by their numbers, and the second time only what is new.
func TestLinks(t *testing.T) {
	d := newDatabase(t, `
		CREATE TABLE dir2id(username TEXT PRIMARY KEY);
		INSERT INTO dir2id VALUES('`+chat+`'), ('2026-03');
		CREATE TABLE image_hardlink_info_v3(md5_hash INTEGER, md5 TEXT, type INTEGER, file_name TEXT, file_size INTEGER, modify_time INTEGER, dir1 INTEGER, dir2 INTEGER);
		INSERT INTO image_hardlink_info_v3 VALUES(1, '`+strings.ToUpper(sum)+`', 1, 'old.dat', 9, 0, 1, 2);
		CREATE TABLE image_hardlink_info_v4(md5_hash INTEGER, md5 TEXT, type INTEGER, file_name TEXT, file_size INTEGER, modify_time INTEGER, dir1 INTEGER, dir2 INTEGER, extra_buffer BLOB);
		INSERT INTO image_hardlink_info_v4 VALUES(1, 'other', 1, 'x.dat', 9, 0, 1, 2, NULL), (2, '`+sum+`', 4, '0.dat', 9, 0, 1, 2, x'0a084142434431323334');
		CREATE TABLE file_hardlink_info_v4(md5 TEXT, file_name TEXT, dir1 INTEGER, dir2 INTEGER);
		INSERT INTO file_hardlink_info_v4 VALUES('`+sum+`', 'a.pdf', 2, 0);`)
	got, after := links(t, d, V4, nil, sum)
	want := []Link{
		{Kind: record.TypeImage, MD5: sum, Name: "0.dat", Dir1: chat, Dir2: "2026-03", Record: "ABCD1234"},
		{Kind: record.TypeImage, MD5: sum, Name: "old.dat", Dir1: chat, Dir2: "2026-03"},
		{Kind: record.TypeFile, MD5: sum, Name: "a.pdf", Dir1: "2026-03"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	d.exec(t, `INSERT INTO file_hardlink_info_v4 VALUES('`+sum+`', 'b.pdf', 2, 0)`)
	if got, _ = links(t, d, V4, after, sum); len(got) != 1 || got[0].Name != "b.pdf" {
		t.Errorf("what is new: %+v", got)
	}

	w := newDatabase(t, `
		CREATE TABLE HardLinkVideoID(DirId INTEGER PRIMARY KEY, Dir TEXT);
		INSERT INTO HardLinkVideoID VALUES(7, '`+chat+`'), (9, '2026-03');
		CREATE TABLE HardLinkVideoAttribute(Md5Hash INTEGER, Md5 BLOB, FileName TEXT, ModifyTime INTEGER, DirID1 INTEGER, DirID2 INTEGER);
		INSERT INTO HardLinkVideoAttribute VALUES(1, x'`+sum+`', 'a.mp4', 0, 7, 9);`)
	if got, _ = links(t, w, W3, nil, sum); !reflect.DeepEqual(got, []Link{{Kind: record.TypeVideo, MD5: sum, Name: "a.mp4", Dir1: chat, Dir2: "2026-03"}}) {
		t.Errorf("3: %+v", got)
	}
	m := newDatabase(t, `
		CREATE TABLE HlinkMediaRecord(mediaMd5 TEXT, mediaSize INTEGER, inodeNumber INTEGER, modifyTime INTEGER);
		CREATE TABLE HlinkMediaDetail(localId INTEGER PRIMARY KEY, inodeNumber INTEGER, relativePath TEXT, fileName TEXT);
		INSERT INTO HlinkMediaRecord VALUES('`+sum+`', 9, 77, 0); INSERT INTO HlinkMediaDetail VALUES(1, 77, '`+chat+`/Image', '7_.pic.jpg');`)
	if got, _ = links(t, m, M3, nil, sum); !reflect.DeepEqual(got, []Link{{MD5: sum, Name: "7_.pic.jpg", Dir1: chat + "/Image"}}) {
		t.Errorf("mac 3: %+v", got)
	}
	for _, layout := range []string{V4, W3, M3} {
		if got, _ = links(t, newDatabase(t, ``), layout, nil, sum); got != nil {
			t.Errorf("an empty database: %+v", got)
		}
	}
}

// The stem of a message's files is found by its server id, or by its place.
func TestResources(t *testing.T) {
	packed := fmt.Sprintf("x'12220a20%x'", stem)
	d := newDatabase(t, `CREATE TABLE MessageResourceInfo(message_id INTEGER PRIMARY KEY, message_svr_id INTEGER, message_local_id INTEGER, message_create_time INTEGER, packed_info BLOB, chat_id INTEGER);
		CREATE TABLE ChatName2Id(user_name TEXT PRIMARY KEY); INSERT INTO ChatName2Id VALUES('wxid_x');
		INSERT INTO MessageResourceInfo VALUES(1, 76, 5, 100, `+packed+`, 1), (2, 0, 6, 101, `+packed+`, 1), (3, 78, 7, 102, x'ff', 1), (4, 79, 8, 103, `+packed+`, 1);`)
	var got []Resource
	after, err := Resources(d, nil, func(server, local, created int64) bool {
		return server == 76 || server == 78 || local == 6 && created == 101
	}, func(r Resource) { got = append(got, r) })
	if err != nil || len(got) != 2 || got[0] != (Resource{76, 5, 100, "wxid_x", stem}) || got[1].Local != 6 || after["MessageResourceInfo"] != 4 {
		t.Errorf("%+v %v %v", got, after, err)
	}
}

// A voice message is put together from its pieces in their order, each once, whatever
// the order of the rows.
func TestVoices(t *testing.T) {
	d := newDatabase(t, `CREATE TABLE VoiceInfo(chat_name_id INTEGER, create_time INTEGER, local_id INTEGER, svr_id INTEGER, voice_data BLOB, data_index TEXT);
		INSERT INTO VoiceInfo VALUES(1, 100, 5, 76, 'CC', '10'), (1, 100, 5, 76, 'BB', '2'), (1, 100, 5, 76, 'AA', '0'), (1, 100, 5, 76, 'BB', '2'), (1, 1, 1, 1, 'no', '0');`)
	var got []Voice
	after, err := Voices(d, V4, nil, func(server, _, _ int64) bool { return server == 76 }, func(v Voice) { got = append(got, v) })
	if err != nil || string(Join(got)) != "AABBCC" || after["VoiceInfo"] != 5 {
		t.Errorf("%q %v %v", Join(got), after, err)
	}
	w := newDatabase(t, `CREATE TABLE Media(Key TEXT, Reserved0 INT, Buf BLOB); INSERT INTO Media VALUES('76', 76, x'0223'), ('77', 77, x'01');`)
	got = nil
	if _, err := Voices(w, W3, nil, func(server, _, _ int64) bool { return server == 76 }, func(v Voice) { got = append(got, v) }); err != nil || !bytes.Equal(Join(got), []byte{2, 0x23}) {
		t.Errorf("3: %x %v", Join(got), err)
	}
}

// Whatever extra_buffer holds, what is read out of it is the name of one folder.
func FuzzRecordID(f *testing.F) {
	f.Add([]byte("abcd1234"))
	f.Add([]byte("\x0a\x08ABCD1234\x10\x01"))
	f.Add([]byte("../../../etc/passwd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id := recordID(b); id != "" && cleanName(id) != id {
			t.Fatalf("%q", id)
		}
	})
}
