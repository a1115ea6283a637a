// Package pgtest gives tests databases of PostgreSQL: of a private server, which it
// starts from the installed binaries, or of the one that LEOFLOW_TEST_POSTGRES names.
//
// The private server is started by the first test of a binary that asks for a database
// and ends with the binary, however that ends: a shell beside the server waits on a
// pipe whose other end only the binary holds. It listens on a socket in a directory of
// its own, which is removed with it. PostgreSQL refuses to run as root, so root's tests
// run it as another user.
//
// A test that stops its server, starts it again or sets it read-only has an [Own] one,
// from the installed binaries in any case.
//
// Where there is no PostgreSQL, tests fail and say what to install: none is skipped.
//
// It imports nothing of ours. It is test equipment: tests import it, and the commands that
// are equipment too, for crash drills and measurements, and the generator of migrations.
package pgtest
