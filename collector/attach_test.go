package collector_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/media"
	"tidemark/collector/simtest"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

const (
	imageKey  = "0123456789abcdef"
	imageTail = byte(0x5c)
)

// attached is a device with an account into which a test puts messages with files.
type attached struct {
	*device
	w      *simtest.World
	table  string
	chat   string // hash
	next   int
	images media.Keys
	mu     sync.Mutex
	c      *collector.Collector

	contents map[string][]byte // by hash, put together from pieces
	pieces   int
}

// small is an account of a few texts, its files by name, made once for all tests: keys
// are derived slowly, by intention.
var small struct {
	once  sync.Once
	files map[string][]byte
}

func smallWorld(t testing.TB) *simtest.World {
	t.Helper()
	w := simtest.New(t)
	small.once.Do(func() {
		w.Chat("--count", "8", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
		small.files = map[string][]byte{}
		err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(w.Dir, path)
			if err == nil {
				small.files[name], err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	for name, data := range small.files {
		path := filepath.Join(w.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func newAttached(t testing.TB) *attached {
	w := smallWorld(t)
	a := &attached{device: newDevice(t, w), w: w, contents: map[string][]byte{}}
	a.keys.set(w.Key())
	a.images = media.Keys{AES: [][]byte{[]byte(imageKey)}}
	a.options.ImageKeys = func(context.Context, string) (media.Keys, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.images, nil
	}
	var row []string
	if err := json.Unmarshal([]byte(w.Run("exec", "--db", w.DB("message/message_0.db"), "--key", w.Key(),
		"--sql", "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'Msg!_%' ESCAPE '!' LIMIT 1")), &row); err != nil {
		t.Fatal(err)
	}
	a.table, a.chat = row[0], strings.TrimPrefix(row[0], "Msg_")
	return a
}

// once makes one pass with the same collector as before, or the first.
func (a *attached) once() collector.Status {
	a.t.Helper()
	if a.c == nil {
		a.c = a.collector()
		a.t.Cleanup(a.c.Close)
	}
	if err := a.c.Once(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	return a.c.Status()
}

func (a *attached) setImages(k media.Keys) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images = k
}

// message is a row of the account's conversation.
type message struct {
	kind, sub int64
	sent      time.Time
	content   string
	packed    []byte
}

// send writes rows and returns their server ids.
func (a *attached) send(messages ...message) (ids []int) {
	a.t.Helper()
	var sql []string
	for _, m := range messages {
		a.next++
		ids = append(ids, 900_000+a.next)
		sql = append(sql, fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content, packed_info_data) VALUES (%d, %d, %d, 1, %d, '%s', x'%x')",
			a.table, 900_000+a.next, m.sub<<32|m.kind, m.sent.UnixMilli()+int64(a.next), m.sent.Unix(), m.content, m.packed))
	}
	rewrite(a.w, sql...)
	return ids
}

// exec writes to another of the account's databases.
func (a *attached) exec(db string, statements ...string) {
	args := []string{"exec", "--db", a.w.DB(db), "--key", a.w.Key()}
	for _, s := range statements {
		args = append(args, "--sql", s)
	}
	a.w.Run(args...)
}

// put writes a file below the account folder, as old as age.
func (a *attached) put(path string, data []byte, age time.Duration) {
	a.t.Helper()
	name := filepath.Join(a.w.Account, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		a.t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(name, at, at); err != nil {
		a.t.Fatal(err)
	}
}

func (a *attached) img(sent time.Time, name string) string {
	return "msg/attach/" + a.chat + "/" + sent.Local().Format("2006-01") + "/Img/" + name
}

// drainMedia takes the media lane and puts contents together. No piece may come twice,
// nor out of order.
func (a *attached) drainMedia() {
	a.t.Helper()
	for {
		batches, err := a.spool.Peek(seal.Media, 8<<20)
		if err != nil {
			a.t.Fatal(err)
		}
		if len(batches) == 0 {
			return
		}
		var notes [][]byte
		for _, b := range batches {
			for line := range bytes.Lines(a.archive.Open(a.t, b)) {
				r, err := record.Parse(line)
				if err != nil || r.Piece == nil {
					a.t.Fatalf("%v: %.200s", err, line)
				}
				a.pieces++
				if got := int64(len(a.contents[r.Piece.SHA256])); got != r.Piece.Offset {
					a.t.Fatalf("a piece at %d comes when %d bytes are there", r.Piece.Offset, got)
				}
				a.contents[r.Piece.SHA256] = append(a.contents[r.Piece.SHA256], r.Piece.Data...)
			}
			notes = append(notes, a.archive.Receipt(a.t, b))
		}
		if _, err := a.spool.AckAll(notes); err != nil {
			a.t.Fatal(err)
		}
	}
}

// media lists what has been said of a message's files, in order, as "role state", with
// " =name" of the content when it is one of those given, whose bytes must be right.
func (a *attached) media(server int, known map[string][]byte) []string {
	a.t.Helper()
	var of string
	var out []string
	all := a.all()
	a.drainMedia() // after the records that name contents: their pieces came before
	for _, r := range all {
		if r.Kind == record.KindMessage && r.ServerID == fmt.Sprint(server) {
			of = r.ID
		}
	}
	for _, r := range all {
		if r.ID != of && r.Of != of || r.Kind != record.KindMessage && r.Kind != record.KindMedia {
			continue
		}
		for _, m := range r.Media {
			s := m.Role + " " + m.State
			if m.SHA256 != "" {
				s += " =" + a.known(m, known)
			}
			out = append(out, s)
		}
	}
	return out
}

func (a *attached) known(m record.Media, known map[string][]byte) string {
	got := a.contents[m.SHA256]
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != m.SHA256 || int64(len(got)) != m.Size {
		a.t.Errorf("%s of %d bytes: the pieces make something else, of %d", m.SHA256, m.Size, len(got))
	}
	for name, data := range known {
		if bytes.Equal(got, data) {
			return name
		}
	}
	return "?"
}

func (a *attached) want(server int, known map[string][]byte, want ...string) {
	a.t.Helper()
	if got := a.media(server, known); !slices.Equal(got, want) {
		a.t.Errorf("of message %d is said\n  %s\nwant\n  %s\nlog:\n%s", server, strings.Join(got, "\n  "), strings.Join(want, "\n  "), a.log.String())
	}
}

// picture is a JPEG that differs by its seed.
func picture(seed uint64, side int) []byte {
	m := image.NewGray(image.Rect(0, 0, side, side))
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// v2 stores a picture as the client does since August 2025.
func v2(plain []byte) []byte {
	a := min(1024, len(plain))
	x := min(1024, len(plain)-a)
	out := binary.LittleEndian.AppendUint32([]byte("\x07\x08V2\x08\x07"), uint32(a))
	out = append(binary.LittleEndian.AppendUint32(out, uint32(x)), 1)
	block, err := aes.NewCipher([]byte(imageKey))
	if err != nil {
		panic(err)
	}
	pad := 16 - a%16
	head := append(slices.Clone(plain[:a]), bytes.Repeat([]byte{byte(pad)}, pad)...)
	for i := 0; i < len(head); i += 16 {
		block.Encrypt(head[i:], head[i:])
	}
	out = append(append(out, head...), plain[a:len(plain)-x]...)
	for _, b := range plain[len(plain)-x:] {
		out = append(out, b^imageTail)
	}
	return out
}

// packedStem is packed_info_data that names a picture's (field 3.4) or a video's (4.8)
// files.
func packedStem(outer, inner byte, stem string) []byte {
	in := append([]byte{inner<<3 | 2, byte(len(stem))}, stem...)
	return append([]byte{outer<<3 | 2, byte(len(in))}, in...)
}

func image4(sent time.Time, stem string) message {
	return message{kind: 3, sent: sent, content: "<msg><img length=\"1\"/></msg>", packed: packedStem(3, 4, stem)}
}

func file4(sent time.Time, name string, data []byte) message {
	return message{kind: 49, sub: 6, sent: sent, content: fmt.Sprintf(
		"<msg><appmsg><title>%s</title><type>6</type><appattach><totallen>%d</totallen></appattach><md5>%x</md5></appmsg></msg>", name, len(data), md5.Sum(data))}
}

const old = time.Hour // files of that age are not being written

func stem(n int) string { return fmt.Sprintf("%032x", n) }

// Every kind of file is captured in one pass, whole and under its hash: the best copy of
// a picture and its preview, a voice in pieces, a video with its cover, a file that is
// found by its name and one by the index. What is not there is waited for.
func TestFiles(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{
		"full": picture(1, 200), "usual": picture(2, 100), "thumb": picture(3, 40), "voice": []byte("\x02#!SILK_V3 a voice message"),
		"video": film(3000), "cover": picture(4, 50), "doc": []byte("%PDF-1.4 a document"), "linked": []byte("%PDF-1.4 another document"),
	}
	ids := a.send(
		image4(sent, stem(1)), message{kind: 34, sent: sent, content: "<msg><voicemsg/></msg>"},
		message{kind: 43, sent: sent, content: "<msg><videomsg/></msg>", packed: packedStem(4, 8, stem(2))},
		file4(sent, "doc.pdf", known["doc"]), file4(sent, "linked.pdf", known["linked"]), image4(sent, stem(99)),
	)
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(known["full"]), old)
	a.put(a.img(sent, stem(1)+".dat"), v2(known["usual"]), old)
	a.put(a.img(sent, stem(1)+"_t.dat"), v2(known["thumb"]), old)
	month := sent.Local().Format("2006-01")
	a.put("msg/video/"+month+"/"+stem(2)+".mp4", known["video"], old)
	a.put("msg/video/"+month+"/"+stem(2)+"_thumb.jpg", known["cover"], old)
	a.put("msg/file/"+month+"/doc.pdf", known["doc"], old)
	a.put("msg/file/"+month+"/linked(1).pdf", known["linked"], old)
	a.put("msg/file/"+month+"/linked.pdf", []byte("%PDF-1.4 somebody else's.."), old) // of the same size
	os.MkdirAll(filepath.Dir(a.w.DB("hardlink/x")), 0o755)
	a.exec("hardlink/hardlink.db", "CREATE TABLE IF NOT EXISTS dir2id(username TEXT PRIMARY KEY)", "INSERT INTO dir2id VALUES('"+month+"')",
		"CREATE TABLE IF NOT EXISTS file_hardlink_info_v4(md5_hash INTEGER, md5 TEXT, type INTEGER, file_name TEXT, file_size INTEGER, modify_time INTEGER, dir1 INTEGER, dir2 INTEGER, extra_buffer BLOB)",
		fmt.Sprintf("INSERT INTO file_hardlink_info_v4(md5_hash, md5, type, file_name, dir1) SELECT 1, '%x', 1, 'linked(1).pdf', rowid FROM dir2id WHERE username = '%s'", md5.Sum(known["linked"]), month))
	voice := known["voice"]
	a.exec("message/media_0.db", "CREATE TABLE IF NOT EXISTS VoiceInfo(chat_name_id INTEGER, create_time INTEGER, local_id INTEGER, svr_id INTEGER, voice_data BLOB, data_index TEXT)",
		fmt.Sprintf("INSERT INTO VoiceInfo VALUES(1, 1, 1, %d, x'%x', '1'), (1, 1, 1, %d, x'%x', '0')", ids[1], voice[9:], ids[1], voice[:9]))

	s := a.once()
	a.want(ids[0], known, "original pending", "original captured =full", "preview captured =thumb")
	a.want(ids[1], known, "original pending", "original captured =voice")
	a.want(ids[2], known, "original pending", "original captured =video", "cover captured =cover")
	a.want(ids[3], known, "original pending", "original captured =doc")
	a.want(ids[4], known, "original pending", "original captured =linked")
	a.want(ids[5], known, "original pending")
	if s.Accounts[0].Files != 1 {
		t.Errorf("%d files are waited for, want the one that is not there", s.Accounts[0].Files)
	}
	// Nothing comes twice, also to a collector that knows only the spool.
	pieces := a.pieces
	a.device.once()
	a.drainMedia()
	if len(a.media(ids[0], known)) != 3 || a.pieces != pieces {
		t.Error("a second pass captured something again")
	}
	if b, err := os.ReadFile(filepath.Join(a.dir, "spool.db")); err != nil || bytes.Contains(b, []byte("doc.pdf")) || bytes.Contains(b, []byte(stem(99))) {
		t.Errorf("the spool shows a file's name: %v", err)
	}
}

// film is a film's outer form of about n bytes.
func film(n int) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, 16), "ftypisomisom"...)
	out = append(binary.BigEndian.AppendUint32(out, uint32(8+n)), "mdat"...)
	return append(out, bytes.Repeat([]byte{7}, n)...)
}

// One content of several messages is captured once, and linked to each.
func TestFileOnce(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{"same": picture(1, 80)}
	ids := a.send(image4(sent, stem(1)), image4(sent, stem(2)))
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(known["same"]), old)
	a.put(a.img(sent, stem(2)+"_h.dat"), known["same"], old)
	a.once()
	ids = append(ids, a.send(image4(sent, stem(3)))...)
	a.put(a.img(sent, stem(3)+"_h.dat"), v2(known["same"]), old)
	a.once()
	for _, id := range ids {
		a.want(id, known, "original pending", "original captured =same")
	}
	if a.pieces != 1 {
		t.Errorf("%d pieces of one content", a.pieces)
	}
}

// What is not on the device is pending, is said to be a thumbnail only when there is
// one, or never to have been downloaded after the set time, and is captured all the
// same when it comes after that.
func TestFileNeverAndLate(t *testing.T) {
	a := newAttached(t)
	a.options.Media.GiveUp = 24 * time.Hour
	recent, long := time.Now().Add(-time.Hour), time.Now().Add(-48*time.Hour)
	known := map[string][]byte{"thumb": picture(1, 40), "usual": picture(2, 90)}
	ids := a.send(image4(recent, stem(1)), image4(long, stem(2)), image4(long, stem(3)), image4(time.Unix(0, 0), stem(4)))
	a.put(a.img(long, stem(3)+"_t.dat"), v2(known["thumb"]), old)
	a.once()
	a.want(ids[0], known, "original pending")
	a.want(ids[1], known, "original pending", "original never_downloaded")
	a.want(ids[2], known, "original pending", "preview captured =thumb", "original thumbnail_only")
	a.want(ids[3], known, "original pending") // when it was sent is not known, so it counts from now
	a.once()
	a.want(ids[1], known, "original pending", "original never_downloaded")
	a.put(a.img(long, stem(2)+".dat"), v2(known["usual"]), old)
	a.once()
	a.want(ids[1], known, "original pending", "original never_downloaded", "original captured =usual")
}

// A better copy that comes later is captured too.
func TestFileBetterLater(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{"usual": picture(1, 60), "full": picture(2, 120)}
	ids := a.send(image4(sent, stem(1)))
	a.put(a.img(sent, stem(1)+".dat"), v2(known["usual"]), old)
	a.once()
	a.want(ids[0], known, "original pending", "original captured =usual")
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(known["full"]), old)
	a.once()
	a.want(ids[0], known, "original pending", "original captured =usual", "original captured =full")
}

// Without its key a picture waits, the account says so, in an event too, and when the
// key comes the picture is captured and the state ends.
func TestImageKeyLate(t *testing.T) {
	a := newAttached(t)
	a.setImages(media.Keys{})
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{"full": picture(1, 60)}
	ids := a.send(image4(sent, stem(1)))
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(known["full"]), old)
	s := a.once()
	a.want(ids[0], known, "original pending")
	if got := s.Accounts[0]; got.State != collector.StateImageKey || got.Severity != record.SeverityDegraded {
		t.Errorf("the account is %s, %s", got.State, got.Severity)
	}
	if e := a.events(); !slices.Contains(e, "key_missing degraded") {
		t.Errorf("events: %v", e)
	}
	a.setImages(media.Keys{AES: [][]byte{[]byte("another one, not"), []byte(imageKey)}})
	s = a.once()
	a.want(ids[0], known, "original pending", "original captured =full")
	if e := a.events(); !slices.Contains(e, "recovered info") || s.Accounts[0].State != collector.StateCurrent {
		t.Errorf("the state goes on: %s, events %v", s.Accounts[0].State, e)
	}
}

// A picture that cannot tell what its end is XORed with goes by what others of the account
// told, and is not guessed at before.
func TestFileTailByVotes(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	still := append([]byte("wxgf\x18\x01"), bytes.Repeat([]byte{9, 8, 7}, 2000)...)
	known := map[string][]byte{"still": still}
	ids := a.send(image4(sent, stem(1)))
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(still), old)
	a.once()
	a.want(ids[0], known, "original pending")
	other := sent.AddDate(0, -3, 0) // in another folder
	for i := range 3 {
		a.send(image4(other, stem(10+i)))
		a.put(a.img(other, stem(10+i)+"_h.dat"), v2(picture(uint64(i), 60)), old)
	}
	a.once()
	a.want(ids[0], known, "original pending", "original captured =still")
}

// A file that is still being written is not captured, and is when it has been left
// alone; a picture that stays undecodable is captured as it is stored, and said to be.
func TestFileBeingWritten(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	whole := picture(1, 150)
	known := map[string][]byte{"whole": whole, "garbage": bytes.Repeat([]byte("no picture"), 20)}
	ids := a.send(image4(sent, stem(1)), image4(sent, stem(2)))
	path := a.img(sent, stem(1)+"_h.dat")
	a.put(path, v2(whole)[:2000], 0)
	a.put(a.img(sent, stem(2)+"_h.dat"), known["garbage"], old)
	stop := a.running()
	defer stop()
	eventually(t, func() bool { return len(a.media(ids[1], known)) > 1 })
	a.want(ids[1], known, "original pending", "original unreadable =garbage")
	a.want(ids[0], known, "original pending")
	a.put(path, v2(whole), 0)
	eventually(t, func() bool { return len(a.media(ids[0], known)) > 1 })
	a.want(ids[0], known, "original pending", "original captured =whole")
}

// eventually waits for what must come; that it comes is the promise, not when.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// What the configuration leaves out leaves a record that says so, and why; nothing of it
// is captured.
func TestMediaRules(t *testing.T) {
	a := newAttached(t)
	a.options.Media = collector.MediaRules{NoImages: true, MaxBytes: 1000}
	sent := time.Now().Add(-time.Hour)
	doc := bytes.Repeat([]byte("x"), 2000)
	ids := a.send(image4(sent, stem(1)), file4(sent, "large.bin", doc),
		message{kind: 43, sent: sent, content: "<msg><videomsg/></msg>", packed: packedStem(4, 8, stem(2))})
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(picture(1, 60)), old)
	month := sent.Local().Format("2006-01")
	a.put("msg/file/"+month+"/large.bin", doc, old)
	a.put("msg/video/"+month+"/"+stem(2)+".mp4", film(5000), old)
	a.once()
	a.want(ids[0], nil, "original excluded")
	a.want(ids[1], nil, "original too_large")
	a.want(ids[2], nil, "original pending", "original too_large")
	if a.pieces != 0 {
		t.Errorf("%d pieces were captured", a.pieces)
	}
	for _, r := range a.all() {
		for _, m := range r.Media {
			if m.State == record.MediaTooLarge && (m.Size < 2000 || m.Cause == "") {
				t.Errorf("too large, and not how large or why: %+v", m)
			}
		}
	}
}

// breaking is a spool whose appends to the media lane end with the process, from the
// nth on, before or after they took effect.
type breaking struct {
	*spool.Spool
	left   int
	landed bool
}

var errCut = errors.New("the process ends here")

func (b *breaking) Append(ctx context.Context, l seal.Lane, r spool.Records, c ...spool.Cursor) error {
	media := l == seal.Media || bytes.Contains(r.NDJSON, []byte(`"kind":"media"`))
	if media {
		if b.left--; b.left < 0 && !b.landed {
			return errCut
		}
	}
	err := b.Spool.Append(ctx, l, r, c...)
	if media && b.left < 0 && err == nil {
		return errCut
	}
	return err
}

// A large file goes in pieces. Wherever the process ends, before or after a commit, the
// next goes on behind the last piece: none comes twice (drainMedia holds that), and the
// link comes last.
func TestPiecesAfterCrashes(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	data := film(5<<20 + 100)
	known := map[string][]byte{"film": data}
	ids := a.send(file4(sent, "film.mp4", data))
	a.put("msg/file/"+sent.Local().Format("2006-01")+"/film.mp4", data, old)
	crashes := 0
	for landed := false; ; landed = !landed {
		o := a.options
		o.Spool = &breaking{Spool: a.spool, left: 1, landed: landed}
		c, err := collector.New(o)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Once(t.Context())
		c.Close()
		if err == nil {
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		crashes++
	}
	a.want(ids[0], known, "original pending", "original captured =film")
	if crashes < 3 || a.pieces != 6 {
		t.Errorf("%d crashes, %d pieces", crashes, a.pieces)
	}
}

// Memory does not grow with a file: a large one goes through in pieces.
func TestLargeFileMemory(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	const size = 96 << 20
	name := "msg/file/" + sent.Local().Format("2006-01") + "/large.bin"
	a.put(name, nil, old)
	h := sha256.New()
	f, err := os.OpenFile(filepath.Join(a.w.Account, filepath.FromSlash(name)), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Chtimes(f.Name(), sent, sent)); err != nil {
		t.Fatal(err)
	}
	a.send(message{kind: 49, sub: 6, sent: sent, content: fmt.Sprintf("<msg><appmsg><title>large.bin</title><type>6</type><appattach><totallen>%d</totallen></appattach></appmsg></msg>", size)})

	m := &meter{Spool: a.spool}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	o := a.options
	o.Spool = m
	c, err := collector.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.bytes != size {
		t.Errorf("%d bytes of %d were captured", m.bytes, size)
	}
	if grown := int64(m.most) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

// meter measures the heap, after what is garbage has gone, at each piece. It keeps none.
type meter struct {
	*spool.Spool
	bytes int64
	most  uint64
	n     int
}

func (m *meter) Append(ctx context.Context, l seal.Lane, r spool.Records, c ...spool.Cursor) error {
	if l != seal.Media {
		return m.Spool.Append(ctx, l, r, c...)
	}
	for line := range bytes.Lines(r.NDJSON) {
		rec, err := record.Parse(line)
		if err != nil {
			return err
		}
		m.bytes += int64(len(rec.Piece.Data))
	}
	if m.n++; m.n%16 == 0 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		m.most = max(m.most, s.HeapAlloc)
	}
	return m.Spool.Append(ctx, seal.Messages, spool.Records{}, c...)
}

// A single pass captures all files that are there, however long it takes: its patience
// is for files that are being written alone.
func TestOncePassesNoFile(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-48 * time.Hour)
	plain := picture(1, 20)
	var sql []message
	for i := range 600 {
		data := append(bytes.Clone(plain[:len(plain)-2]), byte(i), byte(i>>8), 0xff, 0xd9)
		a.put(a.img(sent, stem(i)+"_h.dat"), v2(data), old)
		sql = append(sql, message{kind: 3, sent: sent, content: `<msg><img length="1"/></msg>`, packed: append([]byte{0x1a, 0x22, 0x22, 0x20}, stem(i)...)})
	}
	a.send(sql...)
	c := a.collector()
	defer c.Close()
	c.WaitForFiles(0)
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	captured := 0
	for _, r := range a.all() {
		if r.Kind == record.KindMedia && r.Media[0].State == record.MediaCaptured {
			captured++
		}
	}
	if captured != len(sql) {
		t.Errorf("%d files of %d were captured", captured, len(sql))
	}
}

// Files stop before messages do: when the spool is nearly full, a text still goes in,
// and the file does when there is room again.
func TestFilesLeaveRoom(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{"doc": []byte("%PDF-1.4 x")}
	ids := a.send(file4(sent, "doc.pdf", known["doc"]))
	a.put("msg/file/"+sent.Local().Format("2006-01")+"/doc.pdf", known["doc"], old)
	o := a.options
	full := &nearlyFull{Spool: a.spool, full: true}
	o.Spool = full
	c, err := collector.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Once(t.Context()); !errors.Is(err, spool.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	a.want(ids[0], known, "original pending")
	full.full = false
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.want(ids[0], known, "original pending", "original captured =doc")
}

type nearlyFull struct {
	*spool.Spool
	full bool
}

func (n *nearlyFull) Stats() (spool.Stats, error) {
	s, err := n.Spool.Stats()
	if n.full {
		s.Bytes = s.MaxBytes * 9 / 10
	}
	return s, err
}

// What waits for its file when the configuration comes to leave it out is not captured,
// and that is said.
func TestMediaRulesChange(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	ids := a.send(image4(sent, stem(1)))
	a.once()
	a.want(ids[0], nil, "original pending")
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(picture(1, 60)), old)
	a.options.Scope.Conversations.Exclude = []string{"*"}
	a.device.once()
	a.want(ids[0], nil, "original pending", "original excluded")
	if a.pieces != 0 {
		t.Errorf("%d pieces were captured", a.pieces)
	}
}

// blocking is a spool whose media lane takes nothing until it is let go.
type blocking struct {
	*spool.Spool
	reached chan struct{}
	release chan struct{}
}

func (b *blocking) Append(ctx context.Context, l seal.Lane, r spool.Records, c ...spool.Cursor) error {
	if l == seal.Media {
		select {
		case b.reached <- struct{}{}:
		default:
		}
		select {
		case <-b.release:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.Spool.Append(ctx, l, r, c...)
}

// A text is captured while a file is stuck on its way: files never hold messages up.
func TestTextPassesFiles(t *testing.T) {
	a := newAttached(t)
	sent := time.Now().Add(-time.Hour)
	known := map[string][]byte{"full": picture(1, 60)}
	ids := a.send(image4(sent, stem(1)))
	a.put(a.img(sent, stem(1)+"_h.dat"), v2(known["full"]), old)
	stuck := &blocking{Spool: a.spool, reached: make(chan struct{}, 1), release: make(chan struct{})}
	o := a.options
	o.Spool = stuck
	c, err := collector.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	<-stuck.reached
	text := a.send(message{kind: 1, sent: time.Now(), content: "a text in the meantime"})
	eventually(t, func() bool {
		return slices.ContainsFunc(a.all(), func(r *record.Record) bool { return r.ServerID == fmt.Sprint(text[0]) })
	})
	a.want(ids[0], known, "original pending")
	close(stuck.release)
	eventually(t, func() bool { return len(a.media(ids[0], known)) > 1 })
	a.want(ids[0], known, "original pending", "original captured =full")
}
