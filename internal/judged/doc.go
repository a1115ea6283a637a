// Package judged is the tests by which the conformance suite judges our server and our
// agent, as another team would have it judge theirs: over FixtureService, over a file of
// fixtures, in plaintext and under TLS.
//
// Its tests may import everything that is test equipment.
package judged
