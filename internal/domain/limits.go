package domain

import "time"

// Limits that several layers share.
const (
	// MaxErrorMessageBytes is where a reported error message is cut (STATE-6).
	MaxErrorMessageBytes = 16 * 1024
	// MaxLogLineBytes is where a log line is cut, with a mark (LOG-7).
	MaxLogLineBytes = 64 * 1024
	// MaxStreamNameBytes is where the name of a log stream is cut.
	MaxStreamNameBytes = 64
	// MaxAgentInfoBytes is where an agent's version, host name and content type are cut.
	MaxAgentInfoBytes = 256
	// MaxSecretsBytes is what all variables of a tenant may take together, and likewise
	// all its connections: one reply must hold them, and by default a client takes 4 MiB.
	MaxSecretsBytes = 3 << 20
	// SecretEntryBytes is what each of them counts beside its name and value: the most
	// that protobuf adds to an entry of a map, three tags and three lengths.
	SecretEntryBytes = 16
	// LogGrace is how long an attempt may log after its end (LOG-9).
	LogGrace = 5 * time.Minute
	// BeatInterval is how often an agent is asked to beat (BEAT-7).
	BeatInterval = 15 * time.Second
	// StopWithin is how long a cancelled task may take to stop, where the cancel does
	// not say (BEAT-6).
	StopWithin = 30 * time.Second
)

// CutString returns s cut to at most limit bytes, at a character boundary.
func CutString(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xC0 == 0x80 {
		limit--
	}
	return s[:limit]
}
