// Package media finds and decodes the files that belong to messages: pictures,
// voice, videos and documents, as each generation of the client stores them.
//
// It is pure: it reads what it is given (an account folder, snapshots of the
// client's index databases, candidate keys) and keeps nothing. Whoever captures
// decides what is wanted and what becomes of it.
//
// # What is looked at
//
// [Decode] turns a stored picture into the picture: one byte XORed over the whole
// file (3.x, and 4.x until about mid 2025 [B]), the forms V1 and V2 of 4.x [A], or
// plain. [Whole] says whether a file ends as files of its kind do, which one that is
// still being written does not. [Sniff] names a content by its first bytes.
//
// [Files.Find] lists the files that a message may mean, best first, by what its row
// says ([Want]) and by what the index databases add ([Link]).
//
// # Trust
//
// Names and paths come from databases, from XML that anybody may have sent, and from
// folders that others write. A path is cleaned first and opened through [os.Root]
// after, so nothing outside the account folder is ever opened, by dots or by links.
// Files are opened for reading, never waited for, on Windows with share read, write
// and delete, and closed at once when done. Memory does not grow with a file.
//
// The letters in brackets say how sure a fact of the format is: [A] three or more
// independent sources, [B] two, [C] one, [I] inferred. None has been seen on a real
// client by this project.
package media
