package discover

// sameOwner tells nothing: what an administrator's program has made there is owned by
// the administrators' group, whoever uses it.
func sameOwner(string, string) bool { return false }
