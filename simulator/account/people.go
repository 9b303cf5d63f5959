package account

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Person is a contact.
type Person struct {
	Username string
	Nick     string
	Remark   string // "" for most
	Alias    string // "" for some
	Type     int    // contact.local_type: 1 friend, 3 known only from a room, 5 a WeCom contact
	Label    string // the owner's label; "" for most. It is not read back.
}

// labels are the owner's, by their ids.
var labels = map[string]int{"客户": 1, "Suppliers": 2}

// Labels lists the labels that a person may have.
func Labels() []string { return slices.Sorted(maps.Keys(labels)) }

// labelList is the ids of a person's labels.
func (p Person) labelList() string {
	if p.Label == "" {
		return ""
	}
	return strconv.Itoa(labels[p.Label])
}

// Official reports whether the person is an official account.
func (p Person) Official() bool { return strings.HasPrefix(p.Username, "gh_") }

// Member is a person's place in a room.
type Member struct {
	Username string
	Name     string // the name used in this room; "" for most
}

// Room is a group conversation. The owner of the account is one of its members.
type Room struct {
	Username string
	Name     string
	Owner    string
	Members  []Member
}

// FileHelper is the username of the conversation with oneself.
const FileHelper = "filehelper"

var (
	surnames = []string{"陈", "林", "黄", "张", "李", "王", "吴", "刘", "蔡", "杨", "周", "徐", "孙", "马", "欧阳", "上官"}
	given    = []string{"雨桐", "子轩", "梓涵", "浩然", "思远", "晓雯", "建国", "丽华", "志强", "静怡", "伟", "敏", "一诺", "俊杰", "嘉欣", "明轩"}
	english  = []string{"Lily", "Kevin", "Grace", "Ming", "Olivia", "Daniel", "Mei", "Ethan", "Sofía", "Jürgen", "Chloé", "Tom", "Aiko", "Noah", "Emma", "Łukasz"}
	firms    = []string{"华东采购", "Harbour Freight", "启明资本", "财务部", "North Quay", "法务", "深圳仓", "Tideline Legal"}
	topics   = []string{"Q4 shipping 出货", "项目对接群", "Fund II closing", "合规培训 2026", "仓库值班", "Weekly numbers 📈", "客户服务(华南)", "Board papers"}
)

// Population invents people and rooms. The same generator state gives the same ones.
func Population(r *rand.Rand, self string, people, rooms int) ([]Person, []Room) {
	ps := make([]Person, 0, people)
	for i := range people {
		p := Person{Username: "wxid_" + word(r, 14), Type: 1}
		switch r.IntN(10) {
		case 0: // an old account keeps the id its owner once chose, which may look like a folder's suffix
			p.Username = pick(r, english) + "_" + fmt.Sprintf("%04d", i)
		case 1:
			p.Username = fmt.Sprintf("2598498%09d@openim", r.IntN(1e9))
			p.Type = 5
		}
		p.Nick = pick(r, surnames) + pick(r, given)
		if r.IntN(2) == 0 {
			p.Nick = pick(r, english)
		}
		if r.IntN(4) == 0 {
			p.Nick += pick(r, []string{" 🌊", "🐱", " ☕", "✨"})
		}
		if r.IntN(3) == 0 {
			p.Remark = p.Nick + " " + pick(r, firms)
		}
		if r.IntN(2) == 0 {
			p.Alias = "t" + word(r, 8)
		}
		ps = append(ps, p)
	}
	rs := make([]Room, 0, rooms)
	for i := range rooms {
		room := Room{Username: fmt.Sprintf("%d%06d@chatroom", 21000+i, r.IntN(1e6)), Name: topics[i%len(topics)]}
		if i >= len(topics) {
			room.Name += fmt.Sprintf(" %d", i/len(topics)+1)
		}
		room.Members = append(room.Members, Member{Username: self})
		for _, j := range r.Perm(people)[:min(people, 3+r.IntN(10))] {
			m := Member{Username: ps[j].Username}
			if r.IntN(3) == 0 {
				m.Name = ps[j].Nick + "-" + pick(r, firms)
			}
			room.Members = append(room.Members, m)
		}
		if r.IntN(2) == 0 { // someone who is nobody's friend
			stranger := Person{Username: "wxid_" + word(r, 14), Nick: pick(r, english), Type: 3}
			ps = append(ps, stranger)
			room.Members = append(room.Members, Member{Username: stranger.Username})
		}
		room.Owner = room.Members[r.IntN(len(room.Members))].Username
		rs = append(rs, room)
	}
	return ps, rs
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func word(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// memberBlob is chat_room.ext_buffer: repeated 1 = {1 username, 2 name, 3 state, 4 inviter}, 5 = capacity.
func (room Room) memberBlob() []byte {
	var b []byte
	for _, m := range room.Members {
		one := appendString(nil, 1, m.Username)
		if m.Name != "" {
			one = appendString(one, 2, m.Name)
		}
		one = AppendVarint(one, 3, 1)
		one = appendString(one, 4, room.Owner)
		b = appendString(b, 1, string(one))
	}
	return AppendVarint(b, 5, 500)
}

func appendString(b []byte, field uint64, s string) []byte {
	b = binary.AppendUvarint(b, field<<3|2)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// AppendVarint appends a protobuf field of an integer.
func AppendVarint(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3), v)
}

// AppendBytes appends a protobuf field of bytes, text or a message.
func AppendBytes(b []byte, field uint64, v []byte) []byte { return appendString(b, field, string(v)) }

// Officials invents official accounts.
func Officials(r *rand.Rand, n int) []Person {
	var ps []Person
	for range n {
		ps = append(ps, Person{Username: "gh_" + word(r, 12), Nick: pick(r, firms) + " 公众号", Type: 1})
	}
	return ps
}

// PackedInfo is packed_info_data of a text: 1 and 2 are varints of unknown meaning.
func PackedInfo() []byte { return slices.Clip(AppendVarint(AppendVarint(nil, 1, 106), 2, 14)) }
