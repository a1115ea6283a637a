// Package backup copies a data directory into one file, whether a server uses it
// meanwhile or not, and makes a data directory of such a file.
//
// A backup is a tar archive, compressed with gzip. Its first entry tells what it is;
// then come the database, the keys where they are not left out, and the logs. It is
// taken in the order database, logs: so no outcome is restored without the lines before
// it. A log may hold lines of after the database was copied; whoever logs next to it
// goes on after a visible mark (LOG-3).
//
// It may import internal/store, secrets, auth, logs and keyfile, and internal/server for what
// a data directory holds.
package backup
