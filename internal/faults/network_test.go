package faults

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is what lies between agents and a control plane, or between that and its
// database, with its faults.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	log   *journal // a line holds "Accepted client" for each connection
}

// toxic is a fault as toxiproxy has it: of one kind, in one direction.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float32        `json:"toxicity"`
	Attributes map[string]int `json:"attributes"`
}

// The directions of a [toxic], of a network before the control plane and of one before
// its database.
const (
	toServer = "upstream"
	toAgents = "downstream"

	toDatabase   = toServer
	fromDatabase = toAgents
)

// network puts a network in front of the control plane, without a fault at first.
func (r *rig) network() *network {
	r.t.Helper()
	return networkTo(r.t, r.addr)
}

// networkTo puts one in front of whoever listens at an address.
func networkTo(t *testing.T, addr string) *network {
	t.Helper()
	n := &network{t: t, log: &journal{}}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(n.log))
	n.proxy = toxiproxy.NewProxy(api, "network", "127.0.0.1:0", addr)
	// A connection that has such a toxic from its beginning, though it never acts, is
	// closed by a reset and not in order.
	n.add(toxic{Name: "linger", Type: "reset_peer", Stream: toServer, Toxicity: 0})
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)
	return n
}

// address is where those before it connect.
func (n *network) address() string { return n.proxy.Listen }

func (n *network) add(x toxic) {
	n.t.Helper()
	if x.Name == "" {
		x.Name = x.Type + " " + x.Stream
	}
	text := must[[]byte](n.t)(json.Marshal(x))
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		n.t.Fatalf("%s: %v", text, err)
	}
}

func (n *network) remove(names ...string) {
	n.t.Helper()
	for _, name := range names {
		if err := n.proxy.Toxics.RemoveToxic(n.t.Context(), name); err != nil {
			n.t.Fatalf("%s: %v", name, err)
		}
	}
}

// swallow has what is sent in the directions disappear, on connections that stay open,
// until it is called again; then these connections end.
func (n *network) swallow(directions ...string) (end func()) {
	n.t.Helper()
	var names []string
	for _, direction := range directions {
		x := toxic{Name: "swallow " + direction, Type: "timeout", Stream: direction, Toxicity: 1}
		n.add(x)
		names = append(names, x.Name)
	}
	return func() { n.t.Helper(); n.remove(names...) }
}

// cut has every connection be reset by the next byte that is sent to the server, also
// new ones, until they have come again so often.
func (n *network) cut(times int) (healed func()) {
	n.t.Helper()
	came := n.log.more(n.t, times, "Accepted client")
	n.add(toxic{Name: "cut", Type: "reset_peer", Stream: toServer, Toxicity: 1})
	return func() { n.t.Helper(); came(); n.remove("cut") }
}
