package agent

import "io/fs"

// trustedSocket leaves it to the state folder's access list, below which the socket
// is.
func trustedSocket(fs.FileInfo) error { return nil }
