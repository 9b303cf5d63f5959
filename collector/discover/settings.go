package discover

import (
	"bytes"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// What settings of the system and of WeChat say, as text. Nothing here touches a disk.

// iniTexts reads the one path that a client's .ini file consists of. It is UTF-8 or
// GBK [A], and some GBK is valid UTF-8 by chance, so there can be two readings. No
// reading means that it is no line of text.
func iniTexts(data []byte) []string {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var out []string
	add := func(text string) {
		text = strings.Trim(strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == 0 }), `"`)
		bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
		if text != "" && !strings.ContainsFunc(text, bad) && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if utf8.Valid(data) {
		add(string(data))
	}
	if gbk, err := simplifiedchinese.GBK.NewDecoder().Bytes(data); err == nil {
		add(string(gbk))
	}
	return out
}

// myDocument is how the 3.x client writes the user's documents folder [A].
const myDocument = "MyDocument:"

// parents gives the folders that a setting of the client means. ok is false when it
// is no absolute path.
func parents(setting string, vars map[string]string, documents []string) (out []string, ok bool) {
	setting = strings.TrimSpace(setting)
	if len(setting) >= len(myDocument) && strings.EqualFold(setting[:len(myDocument)], myDocument) {
		for _, d := range documents {
			out = append(out, filepath.Join(d, filepath.FromSlash(setting[len(myDocument):])))
		}
		return out, true
	}
	path, ok := expand(setting, vars)
	if !ok || !filepath.IsAbs(path) {
		return nil, false
	}
	return []string{filepath.Clean(path)}, true
}

// expand replaces %NAME% by the variable's value, as Windows does. ok is false when
// a variable is not known. vars has names in upper case.
func expand(value string, vars map[string]string) (out string, ok bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "%")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, after, closed := strings.Cut(rest, "%")
		if !closed { // a percent sign of the path
			b.WriteString("%" + rest)
			return b.String(), true
		}
		v, known := vars[strings.ToUpper(name)]
		if !known {
			return "", false
		}
		b.WriteString(v)
		value = after
	}
}

// xdgDocuments finds the documents folder in a user-dirs.dirs file (xdg-user-dirs);
// "" when it does not say.
func xdgDocuments(text, home string) string {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "XDG_DOCUMENTS_DIR=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `"`)
		if rest, ok := strings.CutPrefix(value, "$HOME"); ok {
			return filepath.Join(home, rest)
		}
		if filepath.IsAbs(value) {
			return filepath.Clean(value)
		}
	}
	return ""
}

// passwdHomes lists the home folders of people in a passwd file: of root and of user
// ids from 1000 on, without nobody.
func passwdHomes(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 7 {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		home := fields[5]
		if err != nil || (uid != 0 && uid < 1000) || uid == 65534 || !filepath.IsAbs(home) {
			continue
		}
		if home = filepath.Clean(home); home != filepath.Dir(home) && !slices.Contains(out, home) {
			out = append(out, home)
		}
	}
	return out
}
