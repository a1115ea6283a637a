package otherplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// selfSigned is a certificate of this machine, and who trusts it.
func selfSigned(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other plane"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
}

// bench has a plane of some choices serve, and connects the suite to it.
func bench(t *testing.T, choices Choices, confidential bool) *serversuite.Target {
	t.Helper()
	var over *tls.Config
	creds := insecure.NewCredentials()
	if confidential {
		server, client := selfSigned(t)
		over, creds = server, credentials.NewTLS(client)
	}
	plane, err := Start(choices, over)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Stop)
	dial := func(addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	fixtures := conformancev1.NewFixtureServiceClient(dial(plane.FixturesAddr(), insecure.NewCredentials()))
	target, err := serversuite.NewTarget(t.Context(), dial(plane.Addr(), creds), confidential, fixtures)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// judge has the suite judge what a target leads to. Nil: it could not.
func judge(t *testing.T, target *serversuite.Target, o suite.Options) *suite.Results {
	t.Helper()
	o.Side, o.Parallel, o.TimeScale = catalogue.Server, 8, 3
	results, err := suite.Run(t.Context(), serversuite.Checks(target), o)
	if err != nil {
		t.Error(err)
		return nil
	}
	return results
}

// variants are planes that choose otherwise, from ours and from each other.
var variants = []struct {
	name         string
	choices      func() Choices
	confidential bool
	passes       int      // so many checks at least
	only         []string // what is judged; nil: all
}{
	{"rich", Rich, true, 400, nil},
	{"rich-plaintext", Rich, false, 2, []string{"SECRET"}},
	{"plain", Plain, false, 300, nil},
	{"plain-with-secrets", func() Choices {
		c := Plain()
		c.PlaintextSecrets = true
		return c
	}, false, 70, []string{"SECRET", "ERR", "ISO"}},
	{"without-secrets", func() Choices {
		c := Plain()
		c.Secrets, c.TenantScope, c.TellsNothing, c.Clock, c.MessageMax = false, false, true, true, 32<<20
		return c
	}, true, 45, []string{"SECRET", "LIMIT", "XCOM", "LOG", "ERR"}},
	{"sealed", Sealed, true, 330, nil},
}

// lacks finds an ability that a rule needs and the choices do not have.
func lacks(c Choices, r catalogue.Rule) string {
	for _, ability := range r.Needs {
		if !slices.Contains(c.abilities(), ability) {
			return ability
		}
	}
	return ""
}

// TestAConformantPlaneThatChoosesOtherwiseFailsNothing: a check that fails here demands
// our choices, not the rules. The checks wait most of the time, so all planes are judged
// at once.
func TestAConformantPlaneThatChoosesOtherwiseFailsNothing(t *testing.T) {
	rules, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	if partly {
		variants = variants[:1]
		variants[0].only, variants[0].passes = []string{"STATE", "BEAT", "LOG", "XCOM"}, 60
	}
	results := make([]*suite.Results, len(variants))
	var judging sync.WaitGroup
	for i, v := range variants {
		choices := v.choices()
		target := bench(t, choices, v.confidential)
		judging.Go(func() { results[i] = judge(t, target, suite.Options{Seed: seed, Rules: rules, Only: v.only}) })
	}
	judging.Wait()
	for i, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			if results[i] == nil {
				t.Fatal("it was not judged")
			}
			count := map[suite.Status]int{}
			for _, c := range results[i].Checks {
				count[c.Status]++
				rule, err := rules.Rule(c.Rule)
				if err != nil {
					t.Fatal(err)
				}
				if without := lacks(v.choices(), rule); c.Status == suite.Passed && without != "" {
					t.Errorf("%s: passed, and the plane does not offer %s, without which the rule binds nobody", c.Check, without)
				}
				if !slices.Contains([]suite.Status{suite.Passed, suite.Skipped, suite.Untestable}, c.Status) {
					t.Errorf("%s: %s: %s", c.Check, c.Status, c.Reason)
				}
			}
			if count[suite.Passed] < v.passes {
				t.Errorf("%d checks passed, not %d at least: what became of the others?", count[suite.Passed], v.passes)
			}
			t.Logf("%v, of %d rules, in %v", count, results[i].Rules(), results[i].Took)
		})
	}
}
