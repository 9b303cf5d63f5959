package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Class is a SQLite storage class.
type Class uint8

// SQLite's five storage classes; the zero Class is Null.
const (
	Null Class = iota
	Integer
	Real
	Text
	Blob
)

// Value is one column of a row exactly as SQLite stored it. Bytes may alias
// memory of the reader that made the Value; whoever keeps a Value longer than
// that reader promises must copy it.
type Value struct {
	Class Class
	Int   int64
	Real  float64
	Bytes []byte // Text and Blob
}

// Column is a named value.
type Column struct {
	Name  string
	Value Value

	key string // the name as a JSON member, when NewRow made the column
}

// NewRow returns a row of NULLs with the given columns. A reader of many rows makes
// one and fills in the values again and again.
func NewRow(names []string) Row {
	r := make(Row, len(names))
	for i, n := range names {
		r[i] = Column{Name: n, key: string(append(appendString(nil, n), ':'))}
	}
	return r
}

// Row is a row in the order of its table's columns.
//
// Its JSON form is an object with a member for each column, in order, which
// keeps the storage class and every bit of the value:
//
//	NULL     null
//	INTEGER  a number, or {"int":"…"} beyond ±(2^53-1)
//	REAL     {"real":"…"} in the shortest decimal form that reads back the same
//	TEXT     a string, or {"text":"base64"} when it is not valid UTF-8
//	BLOB     {"blob":"base64"}
type Row []Column

// Get returns the value of the named column.
func (r Row) Get(name string) (Value, bool) {
	for i := range r {
		if r[i].Name == name {
			return r[i].Value, true
		}
	}
	return Value{}, false
}

// maxSafe is the largest integer that every JSON reader keeps exactly.
const maxSafe = 1<<53 - 1

func (r Row) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i := range r {
		if i > 0 {
			b = append(b, ',')
		}
		if r[i].key != "" {
			b = append(b, r[i].key...)
		} else {
			b = append(appendString(b, r[i].Name), ':')
		}
		b = r[i].Value.appendJSON(b)
	}
	return append(b, '}')
}

func (v *Value) appendJSON(b []byte) []byte {
	switch v.Class {
	case Integer:
		if v.Int >= -maxSafe && v.Int <= maxSafe {
			return strconv.AppendInt(b, v.Int, 10)
		}
		b = append(b, `{"int":"`...)
		b = strconv.AppendInt(b, v.Int, 10)
		return append(b, `"}`...)
	case Real:
		b = append(b, `{"real":"`...)
		b = strconv.AppendFloat(b, v.Real, 'g', -1, 64)
		return append(b, `"}`...)
	case Text:
		// A view, not a copy: the bytes are only read, during this call.
		s := unsafe.String(unsafe.SliceData(v.Bytes), len(v.Bytes))
		switch {
		case isPlain(s):
			return append(append(append(b, '"'), s...), '"')
		case utf8.ValidString(s):
			return appendValid(b, s)
		}
		return appendBase64(append(b, `{"text":"`...), v.Bytes)
	case Blob:
		return appendBase64(append(b, `{"blob":"`...), v.Bytes)
	default:
		return append(b, "null"...)
	}
}

func appendBase64(b, data []byte) []byte {
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, `"}`...)
}

// MarshalJSON writes the form described at [Row].
func (r Row) MarshalJSON() ([]byte, error) { return r.appendJSON(nil), nil }

// UnmarshalJSON reads the form described at [Row], keeping the order of columns.
func (r *Row) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: row is not an object", ErrInvalid)
	}
	*r = Row{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%w: row: %w", ErrInvalid, err)
		}
		name, _ := t.(string)
		var raw any
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("%w: column: %w", ErrInvalid, err)
		}
		v, err := parseValue(raw)
		if err != nil {
			return err
		}
		*r = append(*r, Column{Name: name, Value: v})
	}
	return nil
}

func parseValue(raw any) (Value, error) {
	bad := fmt.Errorf("%w: column value is of no known form", ErrInvalid)
	switch x := raw.(type) {
	case nil:
		return Value{}, nil
	case string:
		return Value{Class: Text, Bytes: []byte(x)}, nil
	case json.Number:
		n, err := strconv.ParseInt(x.String(), 10, 64)
		if err != nil {
			return Value{}, bad
		}
		return Value{Class: Integer, Int: n}, nil
	case map[string]any:
		if len(x) != 1 {
			return Value{}, bad
		}
		for form, inner := range x {
			s, ok := inner.(string)
			if !ok {
				return Value{}, bad
			}
			switch form {
			case "int":
				n, err := strconv.ParseInt(s, 10, 64)
				if err != nil {
					return Value{}, bad
				}
				return Value{Class: Integer, Int: n}, nil
			case "real":
				f, err := strconv.ParseFloat(s, 64)
				if err != nil || math.IsNaN(f) {
					return Value{}, bad
				}
				return Value{Class: Real, Real: f}, nil
			case "text", "blob":
				b, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					return Value{}, bad
				}
				class := Text
				if form == "blob" {
					class = Blob
				}
				return Value{Class: class, Bytes: b}, nil
			}
		}
	}
	return Value{}, bad
}
