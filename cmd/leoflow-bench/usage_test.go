package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBadUsageNamesTheFlagAndTheRemedy(t *testing.T) {
	tokens := file(t, "one two")
	missing := filepath.Join(t.TempDir(), "missing")
	load := []string{"load", "--addr", "127.0.0.1:1", "--tokens", tokens}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"no command":              {nil, []string{"expected one of", "--help"}},
		"no such command":         {[]string{"sing"}, []string{"sing", "--help"}},
		"no such flag":            {[]string{"load", "--loud"}, []string{"--loud", "--help"}},
		"no address":              {[]string{"load", "--tokens", tokens}, []string{"--addr", "--help"}},
		"no tokens":               {[]string{"load", "--addr", "127.0.0.1:1"}, []string{"--tokens", "--help"}},
		"tokens that are missing": {[]string{"load", "--addr", "127.0.0.1:1", "--tokens", missing}, []string{"--tokens", missing}},
		"too few tokens":          {load, []string{"--tokens", "2 tokens for 32 workers", "fewer workers"}},
		"an address of no form":   {[]string{"load", "--addr", "here", "--tokens", tokens, "--workers", "1"}, []string{`--addr "here"`, "host:port"}},
		"no such op":              {append(load, "--op", "dance"), []string{`--op "dance"`, "heartbeat"}},
		"no workers":              {append(load, "--workers", "0"), []string{"--workers", "give more"}},
		"no such form":            {append(load, "-o", "poem"), []string{"--output", "table", "markdown", "--help"}},
		"CA that is missing":      {append(load, "--workers", "1", "--tls-ca", missing), []string{"--tls-ca", missing}},
		"CA that is none":         {append(load, "--workers", "1", "--tls-ca", tokens), []string{"--tls-ca", "no certificate", "PEM"}},
		"compare: no such target": {[]string{"compare", "--target", "oracle"}, []string{`--target "oracle"`, "sqlite"}},
		"compare: few attempts":   {[]string{"compare", "--live", "3"}, []string{"--live", "--workers"}},
		"compare: no profile dir": {[]string{"compare", "--profile", missing}, []string{"--profile", missing}},
		"beats: no attempts":      {[]string{"beats", "--attempts", "0"}, []string{"--attempts", "give more"}},
		"beats: many tenants":     {[]string{"beats", "--attempts", "2", "--tenants", "3"}, []string{"--tenants 3", "--attempts"}},
		"beats: no such database": {[]string{"beats", "--on", "paper"}, []string{"--on", "sqlite", "postgres"}},
		"growth: no such axis":    {[]string{"growth", "--axis", "beards"}, []string{`--axis "beards"`, "tenants"}},
		"growth: too small":       {[]string{"growth", "--axis", "live", "--largest", "100"}, []string{"--largest 100", "give more"}},
		"growth: no rounds":       {[]string{"growth", "--rounds", "0"}, []string{"--rounds", "give more"}},
		"check: no bounds":        {[]string{"check", "--bounds", missing}, []string{"--bounds", missing}},
		"check: empty bounds":     {[]string{"check", "--bounds", file(t, "")}, []string{"--bounds", "no bound"}},
		"check: bad bounds":       {[]string{"check", "--bounds", file(t, "hello")}, []string{"--bounds"}},
		"check: unknown key":      {[]string{"check", "--bounds", file(t, "- {op: spec, server: sqlite, of_bear: 1}")}, []string{"--bounds", "of_bear"}},
		"check: unknown op":       {[]string{"check", "--bounds", file(t, "- {op: dance, server: sqlite, cpu: 1}")}, []string{"bound 1", `op "dance"`, "heartbeat"}},
		"check: unknown server":   {[]string{"check", "--bounds", file(t, "- {op: spec, server: oracle, cpu: 1}")}, []string{"bound 1", `server "oracle"`, "postgres"}},
		"check: bound of nothing": {[]string{"check", "--bounds", file(t, "- {op: spec, server: sqlite}")}, []string{"bound 1", "of_bare"}},
		"check: fewer than two":   {[]string{"check", "--live", "1"}, []string{"--live", "--workers"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := benchRun(t, c.args...)
			if code != exitBadUsage || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("%q does not name %q", errOut, want)
				}
			}
			if n := strings.Count(strings.TrimSpace(errOut), "\n"); n > 0 {
				t.Errorf("more than a line: %q", errOut)
			}
		})
	}
}

func TestHelpNamesEachCommandAndHidesTheChild(t *testing.T) {
	code, out, _ := benchRun(t, "--help")
	if code != exitOK || strings.Contains(out, "child") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, command := range []string{"load", "compare", "beats", "growth", "check"} {
		if code, out, _ := benchRun(t, command, "--help"); code != exitOK || !strings.Contains(out, "--output") {
			t.Errorf("%s: exit code %d:\n%s", command, code, out)
		}
	}
}
