package account

import (
	"fmt"
	"time"
)

// Generation is a generation of the desktop client.
type Generation string

// The generations.
const (
	V4 Generation = "v4" // Weixin 4.x on every system
	W3 Generation = "w3" // WeChat 3.x on Windows
	M3 Generation = "m3" // WeChat 3.x on macOS
)

// Set reads a generation from a flag.
func (g *Generation) Set(s string) error {
	switch Generation(s) {
	case V4, W3, M3:
		*g = Generation(s)
		return nil
	}
	return fmt.Errorf("%q is none of v4, w3, m3", s)
}

// String is the generation's name.
func (g *Generation) String() string { return string(*g) }

// Type names the type of the flag.
func (*Generation) Type() string { return "generation" }

// layout is how a generation lays out an account.
type layout interface {
	dir(Place) string       // the account folder
	databases(Place) string // what the paths of databases are relative to
	last() string           // the file written last: with it the account is complete
	folders(Place) []string // that stand without a database in them
	files() []file          // of a new account
	written() []string      // of these, what is opened with the account
	shard(n int) file       // the n-th of the message databases that grow in number; the zero file when there is none
	fill(a *Account, people []Person, rooms []Room, created time.Time) error
	finish(*Account) error // writes last
	load(*Account) error   // reads people and rooms
	changePerson(*Account, Person) error
	changeRoom(*Account, Room) error
}

func (p Place) layout() layout {
	switch p.Generation {
	case W3:
		return w3{}
	case M3:
		return m3{}
	}
	return v4{}
}
