package media

import (
	"path"
	"strings"
	"unicode/utf8"
)

func extension(name string) string { return strings.ToLower(path.Ext(name)) }

// maxName is more than a file's name may be long on any system.
const maxName = 255

// cleanName returns s when it can be the name of one file, "" when it cannot: it
// comes from XML that anybody may have sent.
func cleanName(s string) string {
	if s == "" || s == "." || s == ".." || len(s) > maxName || !utf8.ValidString(s) || strings.ContainsAny(s, "/\\\x00") {
		return ""
	}
	return s
}

// cleanStem is cleanName for the stem of a picture's or video's files: 32 hex digits
// in what has been seen [B], letters and digits in any case.
func cleanStem(s string) string {
	if len(s) < 4 || len(s) > 64 {
		return ""
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return ""
		}
	}
	return s
}

// cleanPath turns a path that the client wrote, with slashes of either kind, into one
// below the account folder, "" when it is none.
func cleanPath(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '\\' })
	for _, p := range parts {
		if cleanName(p) == "" {
			return ""
		}
	}
	if len(parts) == 0 || len(s) > 4096 || strings.HasPrefix(s, "/") || strings.HasPrefix(s, `\`) {
		return ""
	}
	return strings.Join(parts, "/")
}
