package record

import (
	"reflect"
	"testing"
)

// Days read back as they were written, in the order of their dates, and the form is
// fixed: archives read it.
func TestDays(t *testing.T) {
	days := []DayCount{
		{Date: "2026-11-24", Seen: -1, Sealed: 3, Skipped: 1}, {Date: "2026-11-23", Seen: 12, Sealed: 12},
		{Date: Undated, OutOfScope: 4}, {Date: "2026-11-25"},
	}
	const want = "2026-11-23 seen 12 sealed 12; 2026-11-24 seen unknown sealed 3 skipped 1; 2026-11-25; undated out_of_scope 4"
	got := FormatDays(days)
	if got != want {
		t.Errorf("got %q", got)
	}
	back, err := ParseDays(got)
	if err != nil || !reflect.DeepEqual(back, []DayCount{days[1], days[0], days[3], days[2]}) {
		t.Errorf("%+v, %v", back, err)
	}
	for d, missing := range map[DayCount]int64{
		{Seen: 5, Sealed: 3, Skipped: 1}: 1, {Seen: 3, Sealed: 5}: 0, {Seen: -1, Sealed: 5}: 0,
	} {
		if d.Missing() != missing {
			t.Errorf("%+v misses %d", d, d.Missing())
		}
	}
}

// What a device sends is read without a panic, and what is read is written the same.
func FuzzParseDays(f *testing.F) {
	f.Add("2026-11-23 seen 12 sealed 12; undated out_of_scope 4")
	f.Add("2026-11-23 seen -1")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		days, err := ParseDays(s)
		if err != nil {
			return
		}
		again, err := ParseDays(FormatDays(days))
		if err != nil || len(again) != len(days) {
			t.Errorf("%q: %v", s, err)
		}
	})
}
