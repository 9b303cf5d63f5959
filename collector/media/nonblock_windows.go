package media

// nonblock: files of Windows are not waited for.
const nonblock = 0
