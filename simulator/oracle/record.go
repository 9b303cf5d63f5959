package oracle

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// record is what compare reads of an archive's record.
type record struct {
	V            int       `json:"v"`
	Kind         string    `json:"kind"`
	ID           string    `json:"id"`
	CapturedAt   time.Time `json:"captured_at"`
	Account      ref       `json:"account"`
	Conversation ref       `json:"conversation"`
	Sender       struct {
		ref
		Self bool `json:"self"`
	} `json:"sender"`
	SentAt   time.Time `json:"sent_at"`
	ServerID string    `json:"server_id"`
	LocalID  string    `json:"local_id"`
	Order    string    `json:"order"`
	Type     string    `json:"type"`
	Text     string    `json:"text"`
	Native   struct {
		Type    int64 `json:"type"`
		Subtype int64 `json:"subtype"`
	} `json:"native"`
	Source struct {
		File  string `json:"file"`
		Table string `json:"table"`
	} `json:"source"`
	Of       string            `json:"of"`
	Change   string            `json:"change"`
	Event    string            `json:"event"`
	Detail   map[string]string `json:"detail"`
	Mentions []string          `json:"mentions"`
	Media    []Media           `json:"media"`
	Contact  *contactRecord    `json:"contact"`
	Room     *roomRecord       `json:"room"`

	whole map[string]any // all members, of a message whose kind is not text
}

type contactRecord struct {
	ID     string   `json:"id"`
	Nick   string   `json:"nick"`
	Remark string   `json:"remark"`
	Labels []string `json:"labels"`
}

type roomRecord struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Owner   string `json:"owner"`
	Members []ref  `json:"members"`
}

type ref struct {
	ID string `json:"id"`
}

func (r *record) key() key {
	return key{r.Conversation.ID, r.Source.File, r.Source.Table, r.LocalID}
}

// recalled reports whether the record shows the notice of a recall, not a message.
func (r *record) recalled() bool { return isNotice(r.Native.Type) }

func isNotice(localType int64) bool {
	base := localType & 0xffffffff
	return base == 10000 || base == 10002
}

// hasServerID reports whether the record knows the server id.
func (r *record) hasServerID() bool { return r.ServerID != "" && r.ServerID != "0" }

// readRecords calls fn for each record of an NDJSON stream.
func readRecords(r io.Reader, fn func(*record) error) error {
	br := bufio.NewReaderSize(r, 1<<20)
	for number := 1; ; number++ {
		b, err := br.ReadBytes('\n')
		if len(b) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			var rec record
			if jsonErr := json.Unmarshal(b, &rec); jsonErr != nil {
				return fmt.Errorf("read records: line %d: %w", number, withoutContent(jsonErr))
			}
			if rec.Type != "text" && (rec.Kind == "message" || rec.Kind == "revision") {
				if jsonErr := json.Unmarshal(b, &rec.whole); jsonErr != nil {
					return fmt.Errorf("read records: line %d: %w", number, withoutContent(jsonErr))
				}
			}
			if err := fn(&rec); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
	}
}

// withoutContent keeps a value that could be somebody's words out of an error: a
// time that does not parse is quoted in full by its own.
func withoutContent(err error) error {
	var bad *time.ParseError
	if errors.As(err, &bad) {
		return errors.New("a time is not RFC 3339")
	}
	return err
}

// number is a 64-bit id or order in decimal; ok is false when it is not one.
func number(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
