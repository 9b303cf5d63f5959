package archive

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"tidemark/archive/index"
	"tidemark/record"
)

// Completeness is what devices counted, held against what arrived.
type Completeness struct {
	Complete      bool      `json:"complete"` // nothing that was counted is missing
	Conversations int       `json:"conversations"`
	Days          int       `json:"days"`         // of conversations, that devices have counted
	Sealed        int64     `json:"sealed"`       // message records that devices say they sealed on those days
	Held          int64     `json:"held"`         // of them, that arrived
	OutOfScope    int64     `json:"out_of_scope"` // rows that devices left out by configuration
	Uncounted     int       `json:"uncounted"`    // days with messages that no device has counted yet, such as the current one
	Gaps          []DayGap  `json:"gaps"`         // where something is missing, by account, conversation, date
	Unreadable    int       `json:"unreadable,omitempty"`
	Until         time.Time `json:"until,omitzero"` // when the newest of the counts was made, by the device's clock
}

// DayGap is one day of one conversation, as one device saw it, of which something is
// missing.
type DayGap struct {
	Device       string `json:"device"`
	Account      string `json:"account"`
	Conversation string `json:"conversation"`
	Date         string `json:"date"` // in UTC, or record.Undated
	Sealed       int64  `json:"sealed"`
	Held         int64  `json:"held"`
	Undelivered  int64  `json:"undelivered"` // sealed, and not in this archive
	Uncaptured   int64  `json:"uncaptured"`  // in the client's database when it was counted, and never sealed
}

// dayKey is a day of a conversation as one device saw it.
type dayKey struct{ device, account, conversation, date string }

// counted is what a device said last of a day, by database.
type counted map[string]record.DayCount

// CheckCompleteness compares, for each device, conversation and day, the newest counts
// of its databases with the message records that arrived, of one account or, when it
// is empty, of all, from a day in UTC on. A record that the device delivered twice,
// because it found the message in two databases, counts as often as it was sealed. It
// works while a server runs.
func CheckCompleteness(ctx context.Context, f Folder, account string, since time.Time) (*Completeness, error) {
	r, err := f.OpenIndex()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := &Completeness{Gaps: []DayGap{}}
	days := map[dayKey]counted{}
	if err := c.readCounts(ctx, r, account, since, days); err != nil {
		return nil, err
	}
	held := map[dayKey]int64{}
	err = r.Arrivals(ctx, account, since, func(a index.Arrival) error {
		if a.Date == record.Undated && !since.IsZero() {
			return nil
		}
		key := dayKey{a.Device, a.Account, a.Conversation, a.Date}
		if days[key] == nil {
			c.Uncounted++
		} else {
			held[key] = a.Records
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	conversations := map[dayKey]bool{}
	for key, by := range days {
		c.day(key, by, held[key])
		conversations[dayKey{account: key.account, conversation: key.conversation}] = true
	}
	c.Conversations, c.Days = len(conversations), len(days)
	slices.SortFunc(c.Gaps, func(a, b DayGap) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Conversation, b.Conversation), cmp.Compare(a.Date, b.Date), cmp.Compare(a.Device, b.Device))
	})
	c.Complete = len(c.Gaps) == 0 && c.Unreadable == 0
	return c, nil
}

func (c *Completeness) day(key dayKey, by counted, held int64) {
	g := DayGap{Device: key.device, Account: key.account, Conversation: key.conversation, Date: key.date, Held: held}
	for _, d := range by {
		g.Sealed += d.Sealed
		g.Uncaptured += d.Missing()
	}
	g.Undelivered = max(0, g.Sealed-held)
	c.Sealed += g.Sealed
	c.Held += min(held, g.Sealed)
	if g.Undelivered > 0 || g.Uncaptured > 0 {
		c.Gaps = append(c.Gaps, g)
	}
}

// readCounts reads the counts events; of each day the last that arrived counts.
func (c *Completeness) readCounts(ctx context.Context, r *index.Reader, account string, since time.Time, days map[dayKey]counted) error {
	from := ""
	if !since.IsZero() {
		from = since.UTC().Format(time.DateOnly)
	}
	outside := map[dayKey]int64{}
	err := r.Events(ctx, 0, math.MaxInt64, func(device string, line []byte) error {
		var e struct {
			Event        string            `json:"event"`
			Detail       map[string]string `json:"detail"`
			CapturedAt   time.Time         `json:"captured_at"`
			Account      record.Party      `json:"account"`
			Conversation record.Party      `json:"conversation"`
		}
		if json.Unmarshal(line, &e) != nil || e.Event != record.EventCounts || account != "" && e.Account.ID != account {
			return nil
		}
		list, err := record.ParseDays(e.Detail["days"])
		if err != nil {
			c.Unreadable++
			return nil
		}
		if e.CapturedAt.After(c.Until) {
			c.Until = e.CapturedAt
		}
		for _, d := range list {
			if d.Date < from || d.Date == record.Undated && from != "" {
				continue
			}
			key := dayKey{device, e.Account.ID, e.Conversation.ID, d.Date}
			if key.conversation == "" {
				key.conversation = e.Detail["database"]
				outside[key] = d.OutOfScope
				continue
			}
			if days[key] == nil {
				days[key] = counted{}
			}
			days[key][e.Detail["database"]] = d
		}
		return nil
	})
	for _, n := range outside {
		c.OutOfScope += n
	}
	return err
}
