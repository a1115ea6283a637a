package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type variableCmd struct {
	Set    variableSetCmd    `cmd:"" help:"Store variables, in place of those of the same keys."`
	List   variableListCmd   `cmd:"" help:"List the keys of variables."`
	Delete variableDeleteCmd `cmd:"" help:"Delete a variable."`
}

type connectionCmd struct {
	Set    connectionSetCmd    `cmd:"" help:"Store connections, in place of those of the same ids."`
	List   connectionListCmd   `cmd:"" help:"List the ids of connections."`
	Delete connectionDeleteCmd `cmd:"" help:"Delete a connection."`
}

// secretsHelp is said by each command that sends values.
const secretsHelp = `Values are taken over TLS only, unless the server was told otherwise, from a token of the role admin, and never come back. Other users of this machine see the command line, so read a value from a file with @ (@@ is a plain @); one line end at the end of it is left out.`

// changeFlags are those of commands that store or delete.
type changeFlags struct {
	outputFlags
	remoteFlags
}

// change is what became of a variable or a connection.
type change struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Result string `json:"result"`
}

// tell tells one change.
func (f *changeFlags) tell(con *console, c change) error {
	if f.Output == "json" {
		return f.print(con, c, nil)
	}
	return writeOut(con.out, fmt.Sprintf("%s %s is %s\n", c.Kind, terminal.Visible(c.Name), c.Result))
}

type variableSetCmd struct {
	Pairs []string `arg:"" name:"key=value" sep:"none" help:"A key and its value, or @ and a file with the value."`
	changeFlags
}

// Help teaches by example.
func (variableSetCmd) Help() string {
	return `Store two variables, one of them from a file:

  leoflow variable set region=eu password=@password.txt --ca ca.pem

` + secretsHelp + "\n\n" + remoteHelp
}

// Run stores variables.
func (c *variableSetCmd) Run(con *console) error {
	variables, err := pairs("variable", "KEY=VALUE", c.Pairs)
	if err != nil {
		return err
	}
	return c.set(con, "variable", variables, func(ctx context.Context, r *remote, key, value string) error {
		_, err := r.PutVariable(ctx, &controlv1.PutVariableRequest{Key: key, Value: value})
		return err
	})
}

type connectionSetCmd struct {
	Pairs []string `arg:"" name:"id=uri" sep:"none" help:"An id and its URI, or @ and a file with the URI."`
	changeFlags
}

// Help teaches by example.
func (connectionSetCmd) Help() string {
	return `Store a connection, whose URI is in a file:

  leoflow connection set warehouse=@warehouse.uri --ca ca.pem

` + secretsHelp + "\n\n" + remoteHelp
}

// Run stores connections.
func (c *connectionSetCmd) Run(con *console) error {
	connections, err := pairs("connection", "ID=URI", c.Pairs)
	if err != nil {
		return err
	}
	return c.set(con, "connection", connections, func(ctx context.Context, r *remote, id, uri string) error {
		_, err := r.PutConnection(ctx, &controlv1.PutConnectionRequest{ConnectionId: id, Uri: uri})
		return err
	})
}

// set stores what is given, in the order of the names, and tells each that is stored.
func (f *changeFlags) set(con *console, kind string, given map[string]string, put func(ctx context.Context, r *remote, name, value string) error) error {
	return f.call(kind, func(ctx context.Context, r *remote) error {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if err := put(ctx, r, name, given[name]); err != nil {
				return fmt.Errorf("%s %q: %w", kind, name, r.inWords(err, kind))
			}
			if err := f.tell(con, change{kind, name, "stored"}); err != nil {
				return err
			}
		}
		return nil
	})
}

type variableListCmd struct {
	listFlags
	remoteFlags
}

// Help teaches by example.
func (variableListCmd) Help() string {
	return `List the keys of the tenant's variables; values never come back:

  leoflow variable list

` + remoteHelp
}

// Run lists variables.
func (c *variableListCmd) Run(con *console) error {
	return listing[*controlv1.SecretName]{
		what: "variables",
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.SecretName, string, error) {
			resp, err := r.ListVariables(ctx, &controlv1.ListVariablesRequest{PageSize: size, PageToken: token})
			return resp.GetVariables(), resp.GetNextPageToken(), err
		},
		head: []string{"KEY", "UPDATED"},
		row:  secretRow,
	}.print(con, &c.listFlags, &c.remoteFlags)
}

type connectionListCmd struct {
	listFlags
	remoteFlags
}

// Help teaches by example.
func (connectionListCmd) Help() string {
	return `List the ids of the tenant's connections; URIs never come back:

  leoflow connection list

` + remoteHelp
}

// Run lists connections.
func (c *connectionListCmd) Run(con *console) error {
	return listing[*controlv1.SecretName]{
		what: "connections",
		page: func(ctx context.Context, r *remote, size int32, token string) ([]*controlv1.SecretName, string, error) {
			resp, err := r.ListConnections(ctx, &controlv1.ListConnectionsRequest{PageSize: size, PageToken: token})
			return resp.GetConnections(), resp.GetNextPageToken(), err
		},
		head: []string{"ID", "UPDATED"},
		row:  secretRow,
	}.print(con, &c.listFlags, &c.remoteFlags)
}

func secretRow(n *controlv1.SecretName) []string {
	return []string{n.GetName(), instant(n.GetUpdatedAt())}
}

type variableDeleteCmd struct {
	Key string `arg:"" help:"Key of the variable."`
	changeFlags
}

// Help teaches by example.
func (variableDeleteCmd) Help() string {
	return `Delete a variable, as whoever has a token of the role admin:

  leoflow variable delete region

` + remoteHelp
}

// Run deletes a variable.
func (c *variableDeleteCmd) Run(con *console) error {
	err := c.call(fmt.Sprintf("variable %q", c.Key), func(ctx context.Context, r *remote) error {
		_, err := r.DeleteVariable(ctx, &controlv1.DeleteVariableRequest{Key: c.Key})
		return err
	})
	if err != nil {
		return err
	}
	return c.tell(con, change{"variable", c.Key, "deleted"})
}

type connectionDeleteCmd struct {
	ID string `arg:"" help:"Id of the connection."`
	changeFlags
}

// Help teaches by example.
func (connectionDeleteCmd) Help() string {
	return `Delete a connection, as whoever has a token of the role admin:

  leoflow connection delete warehouse

` + remoteHelp
}

// Run deletes a connection.
func (c *connectionDeleteCmd) Run(con *console) error {
	err := c.call(fmt.Sprintf("connection %q", c.ID), func(ctx context.Context, r *remote) error {
		_, err := r.DeleteConnection(ctx, &controlv1.DeleteConnectionRequest{ConnectionId: c.ID})
		return err
	})
	if err != nil {
		return err
	}
	return c.tell(con, change{"connection", c.ID, "deleted"})
}
