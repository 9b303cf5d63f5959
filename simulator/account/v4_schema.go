package account

import (
	"crypto/md5"
	"encoding/hex"
)

// Hash is the chat hash of a username: the lower-case hex MD5 of its UTF-8.
func Hash(username string) string {
	sum := md5.Sum([]byte(username))
	return hex.EncodeToString(sum[:])
}

// Table is the message table of a conversation.
func Table(username string) string { return "Msg_" + Hash(username) }

// CompressZstd in a WCDB_CT_ column marks its column as zstd, without a dictionary, of a text.
const CompressZstd = 4

// MessageTable is the statements that create the table of one conversation and its indexes.
func MessageTable(table string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + `(
			local_id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, local_type INTEGER, sort_seq INTEGER,
			real_sender_id INTEGER, create_time INTEGER, status INTEGER, upload_status INTEGER, download_status INTEGER,
			server_seq INTEGER, origin_source INTEGER, source TEXT, message_content TEXT, compress_content TEXT,
			packed_info_data BLOB, WCDB_CT_message_content INTEGER DEFAULT NULL, WCDB_CT_source INTEGER DEFAULT NULL)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_SENDERID ON ` + table + `(real_sender_id)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_SERVERID ON ` + table + `(server_id)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_SORTSEQ ON ` + table + `(sort_seq)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_TYPE_SEQ ON ` + table + `(local_type, sort_seq)`,
	}
}

const contactColumns = `(id INTEGER PRIMARY KEY, username TEXT, local_type INTEGER, alias TEXT, encrypt_username TEXT,
	flag INTEGER, delete_flag INTEGER, verify_flag INTEGER, remark TEXT, remark_quan_pin TEXT, remark_pin_yin_initial TEXT,
	nick_name TEXT, pin_yin_initial TEXT, quan_pin TEXT, big_head_url TEXT, small_head_url TEXT, head_img_md5 TEXT,
	chat_room_notify INTEGER, is_in_chat_room INTEGER, description TEXT, extra_buffer BLOB, chat_room_type INTEGER)`

var (
	messageSchema = []string{
		`CREATE TABLE IF NOT EXISTS Name2Id(user_name TEXT PRIMARY KEY, is_session INTEGER DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS TimeStamp(timestamp INTEGER)`,
		`CREATE TABLE IF NOT EXISTS DeleteInfo(chat_name_id INTEGER, delete_table_name TEXT)`,
		`CREATE TABLE IF NOT EXISTS DeleteResInfo(session_name_id INTEGER, res_path TEXT)`,
		`CREATE TABLE IF NOT EXISTS HistorySysMsgInfo(session_name_id INTEGER, history_id INTEGER, server_id INTEGER, is_revoke INTEGER)`,
		`CREATE TABLE IF NOT EXISTS HistoryAddMsgInfo(session_name_id INTEGER, history_id INTEGER, server_id INTEGER)`,
		`CREATE TABLE IF NOT EXISTS SendInfo(chat_name_id INTEGER, msg_local_id INTEGER)`,
		`CREATE TABLE IF NOT EXISTS wcdb_builtin_compression_record(tableName TEXT PRIMARY KEY, columns TEXT NOT NULL, rowid INTEGER) WITHOUT ROWID`,
	}
	contactSchema = []string{
		`CREATE TABLE IF NOT EXISTS contact` + contactColumns,
		`CREATE UNIQUE INDEX IF NOT EXISTS contact_username ON contact(username)`,
		`CREATE TABLE IF NOT EXISTS stranger` + contactColumns,
		`CREATE UNIQUE INDEX IF NOT EXISTS stranger_username ON stranger(username)`,
		`CREATE TABLE IF NOT EXISTS chat_room(id INTEGER PRIMARY KEY, username TEXT, owner TEXT, ext_buffer BLOB)`,
		`CREATE TABLE IF NOT EXISTS chatroom_member(room_id INTEGER, member_id INTEGER, PRIMARY KEY(room_id, member_id))`,
		`CREATE TABLE IF NOT EXISTS chat_room_info_detail(room_id_ INTEGER PRIMARY KEY, username_ TEXT, announcement_ TEXT, announcement_editor_ TEXT,
			announcement_publish_time_ INTEGER, chat_room_status_ INTEGER, xml_announcement_ TEXT, ext_buffer_ BLOB)`,
		`CREATE TABLE IF NOT EXISTS name2id(username TEXT PRIMARY KEY)`,
		`CREATE TABLE IF NOT EXISTS contact_label(label_id_ INTEGER PRIMARY KEY, label_name_ TEXT, sort_order_ INTEGER)`,
		`CREATE TABLE IF NOT EXISTS biz_info(id INTEGER PRIMARY KEY, username TEXT, type INTEGER, accept_type INTEGER, child_type INTEGER, version INTEGER,
			external_info TEXT, brand_info TEXT, brand_icon_url TEXT)`,
		`CREATE TABLE IF NOT EXISTS openim_appid(app_id TEXT PRIMARY KEY, wording_id TEXT)`,
		`CREATE TABLE IF NOT EXISTS openim_wording(wording_id TEXT PRIMARY KEY, wording TEXT, quan_pin TEXT)`,
	}
	sessionSchema = []string{
		`CREATE TABLE IF NOT EXISTS SessionTable(username TEXT PRIMARY KEY, type INTEGER, unread_count INTEGER, unread_first_msg_srv_id INTEGER,
			is_hidden INTEGER, summary TEXT, draft TEXT, status INTEGER, last_timestamp INTEGER, sort_timestamp INTEGER,
			last_clear_unread_timestamp INTEGER, last_msg_locald_id INTEGER, last_msg_type INTEGER, last_msg_sub_type INTEGER,
			last_msg_sender TEXT, last_sender_display_name TEXT, last_msg_ext_type INTEGER)`,
		`CREATE TABLE IF NOT EXISTS SessionDeleteTable(username TEXT PRIMARY KEY, delete_time INTEGER)`,
		`CREATE TABLE IF NOT EXISTS SessionNoContactInfoTable(username TEXT PRIMARY KEY, session_title TEXT)`,
	}
	hardlinkColumns = `(md5_hash INTEGER, md5 TEXT, type INTEGER, file_name TEXT, file_size INTEGER, modify_time INTEGER,
		dir1 INTEGER, dir2 INTEGER, extra_buffer BLOB, PRIMARY KEY(md5_hash, md5, type, file_name))`
)

// The databases of an account. Capture meets those that
// nothing is written to as well, so they are there and valid.
const (
	MessageFile = "message/message_0.db"
	ContactFile = "contact/contact.db"
	SessionFile = "session/session.db"
	GeneralFile = "general/general.db"
	// BizMessageFile has what official accounts send.
	BizMessageFile = "message/biz_message_0.db"
)

func v4Files() []file {
	return []file{
		{path: MessageFile, schema: messageSchema},
		{path: ContactFile, schema: contactSchema},
		{path: SessionFile, schema: sessionSchema},
		{path: GeneralFile, schema: []string{
			`CREATE TABLE IF NOT EXISTS revokemessage(to_user_name TEXT, svr_id INTEGER PRIMARY KEY, message_type INTEGER, revoke_time INTEGER,
				content TEXT, at_user_list TEXT)`,
			`CREATE TABLE IF NOT EXISTS revokebatchmessage(batch_id INTEGER, svr_id INTEGER)`,
		}},
		{path: BizMessageFile, schema: messageSchema},
		{path: "message/media_0.db", schema: []string{
			`CREATE TABLE IF NOT EXISTS Name2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS VoiceInfo(chat_name_id INTEGER, create_time INTEGER, local_id INTEGER, svr_id INTEGER, voice_data BLOB, data_index TEXT)`,
			`CREATE TABLE IF NOT EXISTS TimeStamp(timestamp INTEGER)`,
		}},
		{path: "message/message_resource.db", schema: []string{
			`CREATE TABLE IF NOT EXISTS ChatName2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS SenderName2Id(user_name TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS MessageResourceInfo(message_id INTEGER PRIMARY KEY, chat_id INTEGER, sender_id INTEGER, message_local_type INTEGER,
				message_create_time INTEGER, message_local_id INTEGER, message_svr_id INTEGER, message_origin_source INTEGER, packed_info BLOB)`,
			`CREATE TABLE IF NOT EXISTS MessageResourceDetail(resource_id INTEGER PRIMARY KEY, message_id INTEGER, type INTEGER, size INTEGER,
				create_time INTEGER, access_time INTEGER, status INTEGER, data_index TEXT, packed_info BLOB)`,
		}},
		{path: "message/message_fts.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS name2id(username TEXT PRIMARY KEY)`}},
		{path: "message/weclaw.db", still: true},
		{path: "hardlink/hardlink.db", schema: []string{
			`CREATE TABLE IF NOT EXISTS dir2id(username TEXT PRIMARY KEY)`,
			`CREATE TABLE IF NOT EXISTS image_hardlink_info_v4` + hardlinkColumns,
			`CREATE TABLE IF NOT EXISTS video_hardlink_info_v4` + hardlinkColumns,
			`CREATE TABLE IF NOT EXISTS file_hardlink_info_v4` + hardlinkColumns,
		}},
		{path: "emoticon/emoticon.db", still: true, schema: []string{
			`CREATE TABLE IF NOT EXISTS kNonStoreEmoticonTable(md5 TEXT PRIMARY KEY, aes_key TEXT, cdn_url TEXT, encrypt_url TEXT, thumb_url TEXT, type INTEGER)`,
		}},
		{path: "head_image/head_image.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS head_image(username TEXT PRIMARY KEY, md5 TEXT, image_buffer BLOB, update_time INTEGER)`}},
		{path: "favorite/favorite.db", still: true, schema: []string{
			`CREATE TABLE IF NOT EXISTS fav_db_item(local_id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, type INTEGER, update_time INTEGER, content TEXT,
				fromusr TEXT, realchatname TEXT)`,
		}},
		{path: "sns/sns.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS SnsTimeLine(tid INTEGER PRIMARY KEY, user_name TEXT, content TEXT, pack_info_buf BLOB)`}},
	}
}
