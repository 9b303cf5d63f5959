package media

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tidemark/simulator/account"
)

// Row is one row of an index database. Database is relative to the folder of the
// account's databases: db_storage in 4.x, Msg in W3, the account folder in M3.
//
// A value is a string, an int64, a []byte, or one of [NameID], [LocalID] and [LastID],
// which only the writer can know. [Numbered] puts the local id in its place.
type Row struct {
	Database string
	Table    string
	Values   map[string]any
}

// NameID stands for the row id of a name in a table of the same database, in which
// the name is inserted when absent: INSERT OR IGNORE INTO Table(Column) VALUES(Name).
type NameID struct {
	Table, Column, Name string
}

// LocalID stands for the local id of the message's row.
type LocalID struct{}

// localID stands for it in names, which M3 numbers by it.
const localID = "{local_id}"

// Numbered is the files and rows of a message whose row has that local id: with it in
// place of every [LocalID], and in the names that depend on it. Nothing may be stored
// before.
func Numbered(files []File, rows []Row, local int64) ([]File, []Row) {
	name := func(s string) string { return strings.ReplaceAll(s, localID, strconv.FormatInt(local, 10)) }
	files, rows = slices.Clone(files), slices.Clone(rows)
	for i := range files {
		files[i].Path = name(files[i].Path)
	}
	for i, r := range rows {
		rows[i].Values = maps.Clone(r.Values)
		for column, v := range r.Values {
			switch v := v.(type) {
			case string:
				rows[i].Values[column] = name(v)
			case LocalID:
				rows[i].Values[column] = local
			}
		}
	}
	return files, rows
}

// LastID stands for the row id of the row before this one in the list.
type LastID struct{}

// Insert gives the statement for r and its arguments in order. resolve turns a
// [NameID] or [LastID], and a [LocalID] that is still there, into what it stands for.
func (r Row) Insert(resolve func(any) (any, error)) (string, []any, error) {
	columns := slices.Sorted(maps.Keys(r.Values))
	args := make([]any, 0, len(columns))
	for _, c := range columns {
		v := r.Values[c]
		switch v.(type) {
		case NameID, LocalID, LastID:
			var err error
			if v, err = resolve(v); err != nil {
				return "", nil, err
			}
		}
		args = append(args, v)
	}
	return fmt.Sprintf("INSERT OR REPLACE INTO %s(%s) VALUES(%s)", r.Table, strings.Join(columns, ", "),
		strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")), args, nil
}

// Schema is the tables that the rows of a generation go into, by database.
func Schema(g Generation, shard, hardlink int) map[string][]string {
	switch g {
	case W3:
		s := map[string][]string{
			fmt.Sprintf("Multi/MediaMSG%d.db", shard): {`CREATE TABLE IF NOT EXISTS Media(Key TEXT, Reserved0 INT, Buf BLOB, Reserved1 INT, Reserved2 TEXT)`},
		}
		for _, kind := range []string{"Image", "Video", "File"} {
			s["HardLink"+kind+".db"] = []string{
				`CREATE TABLE IF NOT EXISTS HardLink` + kind + `Attribute(Md5Hash INTEGER, Md5 BLOB, FileName TEXT, ModifyTime INTEGER, DirID1 INTEGER, DirID2 INTEGER)`,
				`CREATE TABLE IF NOT EXISTS HardLink` + kind + `ID(DirId INTEGER PRIMARY KEY AUTOINCREMENT, Dir TEXT UNIQUE)`,
			}
		}
		return s
	case M3:
		return map[string][]string{account.M3LinkFile: {
			`CREATE TABLE IF NOT EXISTS HlinkMediaRecord(mediaMd5 TEXT, mediaSize INTEGER, inodeNumber INTEGER, modifyTime INTEGER)`,
			`CREATE TABLE IF NOT EXISTS HlinkMediaDetail(localId INTEGER PRIMARY KEY AUTOINCREMENT, inodeNumber INTEGER, relativePath TEXT, fileName TEXT)`,
		}}
	}
	if hardlink == 0 {
		hardlink = 4
	}
	links := []string{`CREATE TABLE IF NOT EXISTS dir2id(username TEXT PRIMARY KEY)`}
	for _, kind := range []string{"image", "video", "file"} {
		links = append(links, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s_hardlink_info_v%d(md5_hash INTEGER, md5 TEXT, type INTEGER, file_name TEXT,
			file_size INTEGER, modify_time INTEGER, dir1 INTEGER, dir2 INTEGER, extra_buffer BLOB, PRIMARY KEY(md5_hash, md5, type, file_name))`, kind, hardlink))
	}
	return map[string][]string{
		"hardlink/hardlink.db": links,
		fmt.Sprintf("message/media_%d.db", shard): {
			`CREATE TABLE IF NOT EXISTS Name2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS VoiceInfo(chat_name_id INTEGER, create_time INTEGER, local_id INTEGER, svr_id INTEGER, voice_data BLOB, data_index TEXT)`,
			`CREATE TABLE IF NOT EXISTS TimeStamp(timestamp INTEGER)`,
		},
		"message/message_resource.db": {
			`CREATE TABLE IF NOT EXISTS ChatName2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS SenderName2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS MessageResourceInfo(message_id INTEGER PRIMARY KEY, chat_id INTEGER, sender_id INTEGER, message_local_type INTEGER,
				message_create_time INTEGER, message_local_id INTEGER, message_svr_id INTEGER, message_origin_source INTEGER, packed_info BLOB)`,
			`CREATE TABLE IF NOT EXISTS MessageResourceDetail(resource_id INTEGER PRIMARY KEY, message_id INTEGER, type INTEGER, size INTEGER,
				create_time INTEGER, access_time INTEGER, status INTEGER, data_index TEXT, packed_info BLOB)`,
		},
	}
}
