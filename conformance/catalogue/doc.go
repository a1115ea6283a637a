// Package catalogue is the rules of the agent protocol as data: those that bind a control
// plane and those that bind an agent, each with its reason, what it takes to judge it,
// and whom it binds. It reads them, finds what is wrong with them, and prints them.
//
// It may import gen and libraries.
package catalogue
