package demo

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// wide is what terminals draw two columns wide: East Asian wide and full-width
// characters, and emoji. A rune that a terminal draws otherwise costs that line a
// column; the others stand, because the screen is drawn without automatic wrapping.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1}, {0x231a, 0x231b, 1}, {0x23e9, 0x23ec, 1}, {0x23f0, 0x23f3, 3}, {0x25fd, 0x25fe, 1}, {0x2614, 0x2615, 1},
		{0x2648, 0x2653, 1}, {0x267f, 0x2693, 20}, {0x26a1, 0x26a1, 1}, {0x26aa, 0x26ab, 1}, {0x26bd, 0x26be, 1}, {0x26c4, 0x26c5, 1},
		{0x26ce, 0x26d4, 6}, {0x26ea, 0x26ea, 1}, {0x26f2, 0x26f3, 1}, {0x26f5, 0x26fa, 5}, {0x26fd, 0x2705, 8}, {0x270a, 0x270b, 1},
		{0x2728, 0x2728, 1}, {0x274c, 0x274e, 2}, {0x2753, 0x2755, 1}, {0x2757, 0x2757, 1}, {0x2795, 0x2797, 1}, {0x27b0, 0x27bf, 15},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b55, 5}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97c, 1}, {0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1}, {0xfe10, 0xfe19, 1}, {0xfe30, 0xfe6b, 1}, {0xff01, 0xff60, 1}, {0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{
		{0x16fe0, 0x18cff, 1}, {0x1b000, 0x1b2ff, 1}, {0x1f004, 0x1f004, 1}, {0x1f0cf, 0x1f0cf, 1}, {0x1f18e, 0x1f18e, 1},
		{0x1f191, 0x1f19a, 1}, {0x1f200, 0x1f320, 1}, {0x1f32d, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f7e0, 0x1f7f0, 1},
		{0x1f90c, 0x1faff, 1}, {0x20000, 0x3fffd, 1},
	},
}

const zeroWidthJoiner = '\u200d'

// printable makes one line of foreign text that cannot steer the terminal and whose
// width is certain: of a sequence that some terminals draw as one sign (a family, a
// tone of skin, a flag), the first is kept.
func printable(s string) string {
	var b strings.Builder
	space, joined := false, false
	for _, r := range s {
		after := joined
		joined = r == zeroWidthJoiner
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case after, unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf), r >= 0x1f3fb && r <= 0x1f3ff:
			continue
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Co, unicode.Cs):
			r = '?'
		}
		if space {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// columns is how wide a terminal draws printable text.
func columns(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.Is(wide, r) {
		return 2
	}
	return 1
}

// cut shortens printable text to at most n columns; an ellipsis says that it did.
func cut(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	at := 0
	for i, r := range s {
		if at += columnsOf(r); at > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// pad cuts and fills text to exactly n columns.
func pad(s string, n int) string {
	s = cut(s, n)
	return s + strings.Repeat(" ", max(0, n-columns(s)))
}
