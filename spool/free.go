package spool

// FreeBytes says how much of a folder's disk this user may still fill.
func FreeBytes(dir string) (int64, error) { return freeBytes(dir) }
