package media

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/wechat/blob"
	"tidemark/record"
)

// Querier is a snapshot of one of the client's databases, such as a sqlcipher.View.
type Querier interface {
	Prepare(sql string) (*sqlite3.Stmt, error)
}

// Positions say how far the tables of a database have been read, by row id. Their zero
// value is the beginning.
type Positions map[string]int64

// Link is what an index says of a file: where it lies, by its MD5.
type Link struct {
	Kind       string // record.TypeImage, TypeVideo or TypeFile, "" when the index has one kind for all
	MD5        string // lower-case hex
	Dir1, Dir2 string // folders; of M3, Dir1 is a path
	Name       string
	Record     string // of an item of a merged forward: its folder below Rec
}

// The index tables of each layout. In 4.x both versions may be there after an upgrade
// ("_v4" from 4.1.0 on [B]).
var linkTables = map[string][]struct{ kind, table, folders string }{
	V4: {
		{record.TypeImage, "image_hardlink_info_v4", "dir2id"}, {record.TypeImage, "image_hardlink_info_v3", "dir2id"},
		{record.TypeVideo, "video_hardlink_info_v4", "dir2id"}, {record.TypeVideo, "video_hardlink_info_v3", "dir2id"},
		{record.TypeFile, "file_hardlink_info_v4", "dir2id"}, {record.TypeFile, "file_hardlink_info_v3", "dir2id"},
	},
	W3: {
		{record.TypeImage, "HardLinkImageAttribute", "HardLinkImageID"}, {record.TypeVideo, "HardLinkVideoAttribute", "HardLinkVideoID"},
		{record.TypeFile, "HardLinkFileAttribute", "HardLinkFileID"},
	},
}

// Links reads the index tables of a database from the positions on, and calls fn for
// each row of which wanted says, by its MD5 in lower-case hex, that somebody wants it.
// It returns the positions after. Tables that are not there are none; columns that this
// version does not know are not read.
//
// The tables are indexed by a hash that is not known, not by the MD5, so finding one row
// is reading them all: once for everything that is wanted, and then only what is new.
func Links(q Querier, layout string, from Positions, wanted func(md5 string) bool, fn func(Link)) (Positions, error) {
	if layout == M3 {
		return linksM3(q, from, wanted, fn)
	}
	after := Positions{}
	for _, t := range linkTables[layout] {
		columns, err := columnsOf(q, t.table)
		if err != nil {
			return nil, err
		}
		if len(columns) == 0 {
			continue
		}
		md5, name, dir1, dir2, extra, folder, id := "md5", "file_name", "dir1", "dir2", "extra_buffer", "username", "rowid"
		if layout == W3 {
			md5, name, dir1, dir2, extra, folder, id = "Md5", "FileName", "DirID1", "DirID2", "", "Dir", "DirId"
		}
		stmt, err := q.Prepare(fmt.Sprintf(`SELECT rowid, %s, %s, (SELECT %s FROM %s WHERE %s = t.%s), (SELECT %s FROM %s WHERE %s = t.%s), %s FROM %s t WHERE rowid > ?`,
			md5, name, folder, t.folders, id, dir1, folder, t.folders, id, dir2, columns.or(extra), t.table))
		if err != nil {
			return nil, err
		}
		last := from[t.table]
		if err := stmt.BindInt64(1, last); err != nil {
			return nil, err
		}
		for stmt.Step() {
			last = max(last, stmt.ColumnInt64(0))
			sum := sumOf(stmt, 1)
			if !wanted(sum) {
				continue
			}
			fn(Link{Kind: t.kind, MD5: sum, Name: stmt.ColumnText(2), Dir1: stmt.ColumnText(3), Dir2: stmt.ColumnText(4), Record: recordOf(stmt, 5)})
		}
		if err := finished(stmt); err != nil {
			return nil, err
		}
		after[t.table] = last
	}
	return after, nil
}

// linksM3 reads hldata.db [C].
func linksM3(q Querier, from Positions, wanted func(string) bool, fn func(Link)) (Positions, error) {
	const table = "HlinkMediaRecord"
	columns, err := columnsOf(q, table)
	if err != nil || len(columns) == 0 {
		return Positions{}, err
	}
	stmt, err := q.Prepare(`SELECT r.rowid, r.mediaMd5, d.relativePath, d.fileName FROM HlinkMediaRecord r
		JOIN HlinkMediaDetail d ON d.inodeNumber = r.inodeNumber WHERE r.rowid > ?`)
	if err != nil {
		return nil, err
	}
	last := from[table]
	if err := stmt.BindInt64(1, last); err != nil {
		return nil, err
	}
	for stmt.Step() {
		last = max(last, stmt.ColumnInt64(0))
		if sum := sumOf(stmt, 1); wanted(sum) {
			fn(Link{MD5: sum, Dir1: stmt.ColumnText(2), Name: stmt.ColumnText(3)})
		}
	}
	return Positions{table: last}, finished(stmt)
}

// Resource is what message_resource.db says of a message: the stem of its files [B].
type Resource struct {
	Server, Local, Created int64  // created in seconds
	Chat                   string // username, "" when not known
	Stem                   string
}

// Resources reads message_resource.db from the positions on and calls fn for each row
// that has a stem and that somebody wants.
func Resources(q Querier, from Positions, wanted func(server, local, created int64) bool, fn func(Resource)) (Positions, error) {
	const table = "MessageResourceInfo"
	columns, err := columnsOf(q, table)
	if err != nil || len(columns) == 0 {
		return Positions{}, err
	}
	chat, err := nameOf(q, "ChatName2Id", "chat_id")
	if err != nil {
		return nil, err
	}
	stmt, err := q.Prepare(`SELECT rowid, message_svr_id, message_local_id, message_create_time, packed_info, ` + chat + ` FROM ` + table + ` t WHERE rowid > ?`)
	if err != nil {
		return nil, err
	}
	last := from[table]
	if err := stmt.BindInt64(1, last); err != nil {
		return nil, err
	}
	for stmt.Step() {
		last = max(last, stmt.ColumnInt64(0))
		r := Resource{Server: stmt.ColumnInt64(1), Local: stmt.ColumnInt64(2), Created: stmt.ColumnInt64(3), Chat: stmt.ColumnText(5)}
		if !wanted(r.Server, r.Local, r.Created) {
			continue
		}
		if r.Stem = blob.ReadPacked(stmt.ColumnRawBlob(4)).Resource; r.Stem != "" {
			fn(r)
		}
	}
	return Positions{table: last}, finished(stmt)
}

// Voice is a piece of a voice message, as a database has it. The pieces of one message
// stand in the order of Index, perhaps in several databases [B; pieces I].
type Voice struct {
	Server, Local, Created int64  // the last two in 4.x only, created in seconds
	Chat                   string // username, in 4.x only
	Index                  int64
	Data                   []byte
}

// MaxVoice is more than a piece of a voice message has: one minute is some 150 KB.
const MaxVoice = 16 << 20

// Voices reads the voice table of a database from the positions on and calls fn for
// each piece that somebody wants. The payload of no other row is read.
func Voices(q Querier, layout string, from Positions, wanted func(server, local, created int64) bool, fn func(Voice)) (Positions, error) {
	table, columnsSQL, data := "VoiceInfo", "rowid, svr_id, local_id, create_time, data_index", "voice_data"
	if layout == W3 {
		table, columnsSQL, data = "Media", "rowid, Reserved0, 0, 0, 0", "Buf"
	}
	columns, err := columnsOf(q, table)
	if err != nil || len(columns) == 0 {
		return Positions{}, err
	}
	stmt, err := q.Prepare(fmt.Sprintf(`SELECT %s FROM %s WHERE rowid > ?`, columnsSQL, table))
	if err != nil {
		return nil, err
	}
	last := from[table]
	if err := stmt.BindInt64(1, last); err != nil {
		return nil, err
	}
	var rows []int64
	var hits []Voice
	for stmt.Step() {
		row := stmt.ColumnInt64(0)
		last = max(last, row)
		v := Voice{Server: stmt.ColumnInt64(1), Local: stmt.ColumnInt64(2), Created: stmt.ColumnInt64(3), Index: stmt.ColumnInt64(4)}
		if wanted(v.Server, v.Local, v.Created) {
			rows, hits = append(rows, row), append(hits, v)
		}
	}
	if err := finished(stmt); err != nil {
		return nil, err
	}
	chat := "NULL"
	if layout == V4 {
		if chat, err = nameOf(q, "Name2Id", "chat_name_id"); err != nil {
			return nil, err
		}
	}
	for i, row := range rows {
		get, err := q.Prepare(fmt.Sprintf(`SELECT %s, %s FROM %s t WHERE rowid = ? AND length(%s) <= %d`, data, chat, table, data, MaxVoice))
		if err != nil {
			return nil, err
		}
		if err := get.BindInt64(1, row); err != nil {
			return nil, err
		}
		if get.Step() {
			hits[i].Data, hits[i].Chat = get.ColumnBlob(0, nil), get.ColumnText(1)
		}
		if err := finished(get); err != nil {
			return nil, err
		}
		if hits[i].Data != nil {
			fn(hits[i])
		}
	}
	return Positions{table: last}, nil
}

// nameOf is an expression for the username that a column of table t is a row id of.
func nameOf(q Querier, names, column string) (string, error) {
	columns, err := columnsOf(q, names)
	if err != nil || !columns["user_name"] {
		return "NULL", err
	}
	return fmt.Sprintf("(SELECT user_name FROM %s WHERE rowid = t.%s)", names, column), nil
}

// Join puts a voice message together: pieces in the order of their index, one of each.
func Join(pieces []Voice) []byte {
	sorted := slices.SortedStableFunc(slices.Values(pieces), func(a, b Voice) int { return int(a.Index - b.Index) })
	var out []byte
	for i, p := range sorted {
		if i > 0 && p.Index == sorted[i-1].Index {
			continue // the same, in a database that was imported
		}
		out = append(out, p.Data...)
	}
	return out
}

// columnNames are the names of a table's columns, in lower case. None means that there
// is no such table.
type columnNames map[string]bool

// or returns the column, or NULL when the table has none of that name.
func (c columnNames) or(name string) string {
	if name == "" || !c[strings.ToLower(name)] {
		return "NULL"
	}
	return name
}

func columnsOf(q Querier, table string) (columnNames, error) {
	stmt, err := q.Prepare(`SELECT name FROM pragma_table_info(?)`)
	if err != nil {
		return nil, err
	}
	if err := stmt.BindText(1, table); err != nil {
		return nil, err
	}
	out := columnNames{}
	for stmt.Step() {
		out[strings.ToLower(stmt.ColumnText(0))] = true
	}
	return out, finished(stmt)
}

func finished(s *sqlite3.Stmt) error {
	err := s.Err()
	if rerr := s.Reset(); err == nil {
		err = rerr
	}
	return err
}

// sumOf reads an MD5 that stands as 16 bytes or as hex in any case.
func sumOf(s *sqlite3.Stmt, col int) string {
	b := s.ColumnRawBlob(col)
	if len(b) == 16 {
		return hex.EncodeToString(b)
	}
	return strings.ToLower(string(b))
}

// recordOf reads the id of a merged forward out of extra_buffer, of which no form is
// documented [C]: the text itself, or a text within a protobuf.
func recordOf(s *sqlite3.Stmt, col int) string {
	if s.ColumnType(col) == sqlite3.NULL {
		return ""
	}
	return recordID(s.ColumnRawBlob(col))
}

func recordID(b []byte) string {
	if name := cleanStem(string(b)); name != "" {
		return name
	}
	best := ""
	run := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && cleanStem("xxxx"+string(b[i:i+1])) != "" {
			run++
			continue
		}
		if run > len(best) && run >= 8 && run <= 64 {
			best = string(b[i-run : i])
		}
		run = 0
	}
	return best
}
