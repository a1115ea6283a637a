package main

import (
	"context"
	"fmt"
	"strings"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

type auditCmd struct {
	listFlags
	remoteFlags
}

// Help teaches by example.
func (auditCmd) Help() string {
	return `List who got which secrets, and who wrote which, the newest first, as whoever has a token of the role admin:

  leoflow audit --limit 20

` + remoteHelp
}

// Run lists audit events.
func (c *auditCmd) Run(con *console) error {
	return listing[*controlv1.AuditEvent]{
		what: "audit events",
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.AuditEvent, string, error) {
			resp, err := r.ListAuditEvents(ctx, &controlv1.ListAuditEventsRequest{PageSize: size, PageToken: token})
			return resp.GetEvents(), resp.GetNextPageToken(), err
		},
		head: []string{"AT", "ACTION", "WHO", "NAMES"},
		row: func(e *controlv1.AuditEvent) []string {
			return []string{instant(e.GetAt()), e.GetAction(), who(e), orDash(strings.Join(e.GetNames(), ", "))}
		},
	}.print(con, &c.listFlags, &c.remoteFlags)
}

// who is the operator who wrote, or the attempt that secrets were delivered to.
func who(e *controlv1.AuditEvent) string {
	if e.GetActor() != "" || e.GetTaskId() == "" {
		return orDash(e.GetActor())
	}
	return fmt.Sprintf("%s %s %s, try %d", e.GetDagId(), e.GetRunId(), e.GetTaskId(), e.GetTryNumber())
}
