// Package report puts what a run of the suite found into the forms that others read: JSON,
// as the protos define it; JUnit XML; a page of HTML that needs nothing beside it; Markdown
// for a summary; and a badge.
//
// What the judged system said is a stranger's text: in every form it is escaped, and what
// would steer a terminal, or hide something, is written so that it can be seen.
//
// It may import gen, the catalogue and the suite.
package report
