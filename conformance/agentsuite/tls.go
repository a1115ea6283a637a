package agentsuite

import (
	"os"
	"path/filepath"
	"time"
)

// attempts is how many connections show that the agent tried, and what it falls back to.
const attempts = 3

func tlsTrials() []trial {
	rpcs := []string{register, reportState}
	return []trial{
		{"A-START-4", "authority", "trusts nobody whom its authority did not certify", 30 * time.Second, rpcs, func(s *scene) {
			distrusts(s, "whom another authority certified", func(n *scene) { n.secure("127.0.0.1", "another authority") })
		}},
		{"A-START-4", "name", "trusts no certificate of another name", 30 * time.Second, rpcs, func(s *scene) {
			distrusts(s, "with a certificate of another name", func(n *scene) { n.secure("other.example", "") })
		}},
		{"A-START-4", "plaintext", "speaks to no server without TLS", 30 * time.Second, rpcs, func(s *scene) {
			distrusts(s, "without TLS", func(n *scene) {
				n.secure("127.0.0.1", "")
				n.creds = nil
			})
		}},
	}
}

// secure gives the server a certificate for a host, and the agent the authority that it
// is to trust. With a forger, the certificate is by that one.
func (s *scene) secure(host, forger string) {
	trusted, err := newAuthority("the authority")
	if err != nil {
		s.Broken("%v", err)
	}
	by := trusted
	if forger != "" {
		if by, err = newAuthority(forger); err != nil {
			s.Broken("%v", err)
		}
	}
	if s.creds, err = by.credentials(host); err != nil {
		s.Broken("%v", err)
	}
	path := filepath.Join(s.dir, "authority.pem")
	if err := os.WriteFile(path, trusted.pem(), 0o600); err != nil {
		s.Broken("%v", err)
	}
	s.env = append(s.env, "LEOFLOW_AGENT_INSECURE=false", "LEOFLOW_AGENT_TLS_CA="+path)
}

// distrusts shows that the agent works with a server that is as it should be, then that
// it calls nothing on one that is not.
func distrusts(s *scene, who string, prepare func(*scene)) {
	good := s.another()
	good.secure("127.0.0.1", "")
	good.launch()
	good.until("the task's start, over TLS", started)
	good.wantSuccess()
	prepare(s)
	s.launch()
	calls := func(ms moments) bool { return len(ms.those(moment.isCall)) > 0 }
	s.until("connections, or the agent's end after one", func(ms moments) bool {
		tries := len(ms.words(wordConn))
		return tries >= attempts || tries > 0 && ended(ms) || calls(ms)
	})
	s.never("the agent made a call to a server "+who, calls)
}
