package spool

// syncDir does nothing: Windows has no call that syncs a folder, and NTFS journals
// the rename.
func syncDir(string) error { return nil }
