package wechat

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat/blob"
	"tidemark/record"
)

// eachRow reads columns of a table, whichever of them there are: one that is absent reads
// as NULL, a table that is absent has no rows. fn may use stmt's columns in the order
// they were asked for.
func eachRow(v *sqlcipher.View, table string, columns []string, fn func(stmt *sqlite3.Stmt)) error {
	have, err := tableColumns(v, table)
	if err != nil || len(have) == 0 {
		return err
	}
	var sql strings.Builder
	sql.WriteString("SELECT ")
	for i, c := range columns {
		if i > 0 {
			sql.WriteString(", ")
		}
		if c == "rowid" || slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, c) }) {
			sql.WriteString(sqlite3.QuoteIdentifier(c))
		} else {
			sql.WriteString("NULL")
		}
	}
	sql.WriteString(" FROM " + sqlite3.QuoteIdentifier(table))
	stmt, err := v.Prepare(sql.String())
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	defer stmt.Reset()
	for stmt.Step() {
		fn(stmt)
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	return nil
}

// readContactDB reads contact.db of generation 4 [A; labels and companies C].
func (p *People) readContactDB(v *sqlcipher.View) error {
	labelNames, wordings := map[string]string{}, map[string]string{}
	err := eachRow(v, "contact_label", []string{"label_id_", "label_name_"}, func(s *sqlite3.Stmt) {
		labelNames[s.ColumnText(0)] = s.ColumnText(1)
	})
	if err != nil {
		return err
	}
	err = eachRow(v, "openim_wording", []string{"wording_id", "wording"}, func(s *sqlite3.Stmt) {
		if id := s.ColumnText(0); id != "" {
			wordings[id] = s.ColumnText(1)
		}
	})
	if err != nil {
		return err
	}
	for _, table := range []string{"stranger", "contact"} { // contact's entry wins
		columns := []string{"username", "remark", "nick_name", "alias", "delete_flag", "extra_buffer"}
		err := eachRow(v, table, columns, func(s *sqlite3.Stmt) {
			username := s.ColumnText(0)
			if username == "" {
				return
			}
			c := p.contact(username)
			c.Remark, c.Nick, c.Alias = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)
			c.Deleted = s.ColumnInt64(4) != 0
			extra := s.ColumnRawBlob(5)
			c.Labels = labels(blob.ReadLabels(extra), labelNames)
			if c.Kind == "wecom" {
				c.Company = companyOf(extra, wordings)
			}
		})
		if err != nil {
			return err
		}
	}
	if err := p.readRooms4(v); err != nil {
		return err
	}
	p.finish()
	return nil
}

// readRooms4 reads rooms with their members: those of ext_buffer, which have names and
// inviters, and those that only chatroom_member links.
func (p *People) readRooms4(v *sqlcipher.View) error {
	byID := map[int64]string{}
	err := eachRow(v, "chat_room", []string{"id", "username", "owner", "ext_buffer"}, func(s *sqlite3.Stmt) {
		username := s.ColumnText(1)
		if username == "" {
			return
		}
		r := p.room(username)
		r.Owner, r.Members = s.ColumnText(2), blob.ReadMembers(s.ColumnRawBlob(3))
		byID[s.ColumnInt64(0)] = username
	})
	if err != nil {
		return err
	}
	err = eachRow(v, "chat_room_info_detail", []string{"username_", "announcement_", "room_id_"}, func(s *sqlite3.Stmt) {
		username := s.ColumnText(0)
		if username == "" {
			username = byID[s.ColumnInt64(2)]
		}
		if r := p.rooms[username]; r != nil {
			r.Announcement = s.ColumnText(1)
		}
	})
	if err != nil {
		return err
	}
	members := map[int64]string{}
	for _, table := range []struct{ name, id, username string }{
		{"name2id", "rowid", "username"}, {"stranger", "id", "username"}, {"contact", "id", "username"},
	} {
		err := eachRow(v, table.name, []string{table.id, table.username}, func(s *sqlite3.Stmt) {
			members[s.ColumnInt64(0)] = s.ColumnText(1)
		})
		if err != nil {
			return err
		}
	}
	listed := map[string]map[string]bool{}
	err = eachRow(v, "chatroom_member", []string{"room_id", "member_id"}, func(s *sqlite3.Stmt) {
		room, member := byID[s.ColumnInt64(0)], members[s.ColumnInt64(1)]
		if room == "" {
			room = members[s.ColumnInt64(0)] // where rooms are numbered among the names
		}
		if r := p.rooms[room]; r != nil && member != "" {
			if listed[room] == nil {
				listed[room] = memberSet(r)
			}
			if !listed[room][member] {
				listed[room][member] = true
				r.Members = append(r.Members, record.Member{ID: member})
			}
		}
	})
	return err
}

func memberSet(r *record.Room) map[string]bool {
	set := make(map[string]bool, len(r.Members))
	for _, m := range r.Members {
		set[m.ID] = true
	}
	return set
}

// readMicroMsg reads MicroMsg.db of Windows' generation 3 [A].
func (p *People) readMicroMsg(v *sqlcipher.View) error {
	labelNames := map[string]string{}
	err := eachRow(v, "ContactLabel", []string{"LabelId", "LabelName"}, func(s *sqlite3.Stmt) {
		labelNames[s.ColumnText(0)] = s.ColumnText(1)
	})
	if err != nil {
		return err
	}
	columns := []string{"UserName", "Remark", "NickName", "Alias", "DelFlag", "LabelIDList"}
	err = eachRow(v, "Contact", columns, func(s *sqlite3.Stmt) {
		username := s.ColumnText(0)
		if username == "" {
			return
		}
		c := p.contact(username)
		c.Remark, c.Nick, c.Alias = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)
		c.Deleted = s.ColumnInt64(4) != 0
		c.Labels = labels(parts(s.ColumnText(5), ","), labelNames)
	})
	if err != nil {
		return err
	}
	columns = []string{"ChatRoomName", "UserNameList", "DisplayNameList", "Owner", "Reserved2", "RoomData"}
	err = eachRow(v, "ChatRoom", columns, func(s *sqlite3.Stmt) {
		username := s.ColumnText(0)
		if username == "" {
			return
		}
		r := p.room(username)
		// Newer builds keep the owner's username in Reserved2, Owner is older.
		if r.Owner = s.ColumnText(3); r.Owner == "" || isNumber(r.Owner) {
			r.Owner = s.ColumnText(4)
		}
		r.Members = blob.ReadMembers(s.ColumnRawBlob(5))
		have := memberSet(r)
		display := strings.Split(s.ColumnText(2), separator3)
		for i, member := range strings.Split(s.ColumnText(1), separator3) {
			if member == "" || have[member] {
				continue
			}
			m := record.Member{ID: member}
			if i < len(display) && display[i] != p.Name(member) {
				m.Name = display[i] // the list shows the ordinary name where there is none of the room's
			}
			have[member] = true
			r.Members = append(r.Members, m)
		}
	})
	if err != nil {
		return err
	}
	err = eachRow(v, "ChatRoomInfo", []string{"ChatRoomName", "Announcement"}, func(s *sqlite3.Stmt) {
		if r := p.rooms[s.ColumnText(0)]; r != nil {
			r.Announcement = s.ColumnText(1)
		}
	})
	if err != nil {
		return err
	}
	p.finish()
	return nil
}

// separator3 stands between the members of a room: two characters, not the control
// character [A].
const separator3 = "^G"

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// readOpenIMContact reads OpenIMContact.db, WeCom contacts in Windows' generation 3
// [B for the file, I for the columns, which are taken by the names of Contact].
func (p *People) readOpenIMContact(v *sqlcipher.View) error {
	return eachRow(v, "OpenIMContact", []string{"UserName", "Remark", "NickName", "Alias"}, func(s *sqlite3.Stmt) {
		if username := s.ColumnText(0); username != "" {
			c := p.contact(username)
			c.Remark, c.Nick, c.Alias = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)
		}
	})
}

// readWCContact reads wccontact_new2.db of macOS' generation 3 [A].
func (p *People) readWCContact(v *sqlcipher.View) error {
	if err := p.readPeopleM3(v, "WCContact"); err != nil {
		return err
	}
	p.finish()
	return nil
}

// readGroups reads group_new.db of macOS' generation 3, after wccontact_new2.db, whose
// entries win [B].
func (p *People) readGroups(v *sqlcipher.View) error {
	mine := NewPeople()
	for _, table := range []string{"GroupMember", "GroupContact"} {
		if err := mine.readPeopleM3(v, table); err != nil {
			return err
		}
	}
	for username, c := range mine.contacts {
		if p.contacts[username] == nil {
			p.contacts[username] = c
		}
	}
	err := eachRow(v, "GroupContact", []string{"m_nsUsrName", "m_nsChatRoomMemList", "m_nsChatRoomAdminList"}, func(s *sqlite3.Stmt) {
		username := s.ColumnText(0)
		if username == "" {
			return
		}
		r := p.room(username)
		if admins := parts(s.ColumnText(2), ";"); len(admins) > 0 {
			r.Owner = admins[0]
		}
		for _, member := range parts(s.ColumnText(1), ";") {
			r.Members = append(r.Members, record.Member{ID: member})
		}
	})
	if err != nil {
		return err
	}
	p.finish()
	return nil
}

func (p *People) readPeopleM3(v *sqlcipher.View, table string) error {
	return eachRow(v, table, []string{"m_nsUsrName", "m_nsRemark", "nickname", "m_nsAliasName"}, func(s *sqlite3.Stmt) {
		username := s.ColumnText(0)
		if username == "" {
			return
		}
		c := p.contact(username)
		c.Remark, c.Nick, c.Alias = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)
	})
}

// companyOf finds a WeCom contact's company: some text in extra_buffer names the id of
// a wording, as a member of a JSON object [C]. wordings are names by id.
func companyOf(b []byte, wordings map[string]string) string {
	best := ""
	for id := range wordings {
		if len(id) > len(best) && (bytes.Contains(b, []byte(`"`+id+`"`)) || blob.HasText(b, id)) {
			best = id
		}
	}
	return wordings[best]
}
