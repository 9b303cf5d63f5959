package media

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"tidemark/simulator/account"
)

// Packed is packed_info_data of 4.x, as far as it is known [B, C].
type Packed struct {
	Image      string // field 3.4: stem of a picture's files
	Video      string // field 4.8: stem of a video's files
	Transcript string // field 5.2: what a voice message says
	Name       string // a file name in the open, as some builds have it
}

// Bytes is p as a protobuf.
func (p Packed) Bytes() []byte {
	b := account.PackedInfo()
	if p.Image != "" {
		b = appendBytes(b, 3, appendBytes(nil, 4, []byte(p.Image)))
	}
	if p.Video != "" {
		b = appendBytes(b, 4, appendBytes(nil, 8, []byte(p.Video)))
	}
	if p.Transcript != "" {
		done := binary.AppendUvarint([]byte{1 << 3}, 2)
		b = appendBytes(b, 5, appendBytes(done, 2, []byte(p.Transcript)))
	}
	if p.Name != "" {
		b = appendBytes(b, 6, []byte(p.Name))
	}
	return b
}

func appendBytes(b []byte, field uint64, v []byte) []byte {
	b = binary.AppendUvarint(b, field<<3|2)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// The kinds of index tables, by the name they have in 4.x.
const (
	images = "image"
	videos = "video"
	files  = "file"
)

// link is the row that leads from a hash to a file.
func (m Maker) link(kind, sum, dir1, dir2, name string, size int64) []Row {
	switch m.Gen {
	case W3:
		return []Row{m.link3(kind, sum, dir1, dir2, name)}
	case M3:
		inode := int64(m.Rand.Uint32())
		return []Row{
			{account.M3LinkFile, "HlinkMediaRecord", map[string]any{
				"mediaMd5": sum, "mediaSize": size, "inodeNumber": inode, "modifyTime": m.Time.Unix()}},
			{account.M3LinkFile, "HlinkMediaDetail", map[string]any{
				"inodeNumber": inode, "relativePath": dir1 + "/" + dir2, "fileName": name}},
		}
	}
	return []Row{m.link4(kind, sum, dir1, dir2, name, size, 1, nil)}
}

// link3 is a row of HardLink{Image,Video,File}.db.
func (m Maker) link3(kind, sum, dir1, dir2, name string) Row {
	kind = strings.ToUpper(kind[:1]) + kind[1:]
	dirs := "HardLink" + kind + "ID"
	raw, _ := hex.DecodeString(sum) // ours
	return Row{"HardLink" + kind + ".db", "HardLink" + kind + "Attribute", map[string]any{
		"Md5Hash": hashOf(raw), "Md5": raw, "FileName": name, "ModifyTime": m.Time.Unix(),
		"DirID1": NameID{dirs, "Dir", dir1}, "DirID2": NameID{dirs, "Dir", dir2},
	}}
}

// link4 is a row of hardlink.db. Without dir2 the column is 0.
func (m Maker) link4(kind, sum, dir1, dir2, name string, size, typ int64, extra []byte) Row {
	version := m.Hardlink
	if version == 0 {
		version = 4
	}
	raw, _ := hex.DecodeString(sum)
	second := any(int64(0))
	if dir2 != "" {
		second = NameID{"dir2id", "username", dir2}
	}
	return Row{"hardlink/hardlink.db", fmt.Sprintf("%s_hardlink_info_v%d", kind, version), map[string]any{
		"md5_hash": hashOf(raw), "md5": sum, "type": typ, "file_name": name, "file_size": size, "modify_time": m.Time.Unix(),
		"dir1": NameID{"dir2id", "username", dir1}, "dir2": second, "extra_buffer": extra,
	}}
}

// hashOf stands for the client's own short hash of an MD5, which is not known.
func hashOf(md5 []byte) int64 { return int64(binary.BigEndian.Uint64(md5) >> 1) }

// resource is the rows of message_resource.db, of 4.x.
func (m Maker) resource(stem string, typ, size int64) []Row {
	const db = "message/message_resource.db"
	return []Row{
		{db, "MessageResourceInfo", map[string]any{
			"chat_id": NameID{"ChatName2Id", "user_name", m.Chat}, "sender_id": NameID{"SenderName2Id", "user_name", m.Sender},
			"message_local_type": m.Type, "message_create_time": m.Time.Unix(), "message_local_id": LocalID{},
			"message_svr_id": m.Server, "message_origin_source": int64(1),
			"packed_info": appendBytes(nil, 2, appendBytes(nil, 1, []byte(stem))),
		}},
		{db, "MessageResourceDetail", map[string]any{
			"message_id": LastID{}, "type": typ, "size": size, "create_time": m.Time.Unix(), "access_time": m.Time.Unix(),
			"status": int64(1), "data_index": "0", "packed_info": []byte(nil),
		}},
	}
}
