package disclosure

import "io/fs"

// sameOwner trusts the profile's access list, by which only its user and administrators
// write there.
func sameOwner(fs.FileInfo, string) bool { return true }
