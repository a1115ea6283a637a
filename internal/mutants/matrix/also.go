package matrix

import "maps"

// Also are checks that find a mutant beside the one that is named for it, each with why.
// The list is strict: an entry that does not find it is a failure.
type Also map[string]string

// Because lists checks that find a mutant for one reason.
func Because(why string, checks ...string) Also {
	return Also{}.And(why, checks...)
}

// And adds checks that find it for another reason.
func (a Also) And(why string, checks ...string) Also {
	out := maps.Clone(a)
	for _, check := range checks {
		out[check] = why
	}
	return out
}
