package file

import (
	"fmt"
	"slices"
	"strings"
)

// checkGraph records ids used twice, mentions of tasks that do not exist, tasks
// that wait for themselves, and cycles.
func (d *document) checkGraph(p *Pipeline, nodes []taskNodes) {
	byID := make(map[string]int, len(nodes))
	complete := true
	for i, t := range nodes {
		if t.id == nil {
			complete = false
			continue
		}
		first, twice := byID[t.id.Value]
		if !twice {
			byID[t.id.Value] = i
			continue
		}
		d.faults.at(t.id, func() (string, string) {
			return fmt.Sprintf("task %s: the id is used twice, first at line %d", quote(t.id.Value), nodes[first].id.Line),
				"give each task an id of its own"
		})
	}
	for i, t := range nodes {
		for _, e := range t.edges {
			source, ok := byID[e.source]
			switch {
			case ok && source == i:
				d.faults.at(e.at, func() (string, string) {
					return fmt.Sprintf("%s: %s names the task itself", d.nameOf(t), e.field), "remove it: a task cannot wait for itself"
				})
			// While an id is unreadable, it may be the one that is meant.
			case !ok && complete && e.source != "":
				d.faults.at(e.at, func() (string, string) {
					return fmt.Sprintf("%s: %s names the undeclared task %s", d.nameOf(t), e.field, quote(e.source)),
						declared(p, t, e.source)
				})
			}
		}
	}
	d.checkCycles(nodes, byID)
}

// declared suggests a task for a source that does not exist.
func declared(p *Pipeline, t taskNodes, source string) string {
	ids := make([]string, 0, len(p.Tasks))
	for i := range p.Tasks {
		if i != t.index {
			ids = append(ids, p.Tasks[i].ID)
		}
	}
	if guess, ok := suggest(source, ids, nil); ok {
		return fmt.Sprintf("did you mean %s?", quote(guess))
	}
	return "declare a task of that id, or correct the name"
}

// checkCycles records the first mention in the file that closes a cycle.
func (d *document) checkCycles(nodes []taskNodes, byID map[string]int) {
	g := newGraph(nodes, byID)
	component := g.components()
	var first *edge
	var from, to int
	for i, t := range nodes {
		for j := range t.edges {
			e := &t.edges[j]
			source, ok := byID[e.source]
			if ok && source != i && component[source] == component[i] && (first == nil || before(e.at, first.at)) {
				first, from, to = e, i, source
			}
		}
	}
	if first == nil {
		return
	}
	cycle := append([]int{from}, g.path(to, from)...)
	d.faults.at(first.at, func() (string, string) {
		names := make([]string, len(cycle))
		for i, n := range cycle {
			names[i] = quote(nodes[n].id.Value)
		}
		return fmt.Sprintf("%s: %s closes a cycle: %s (each waits for the next)", d.nameOf(nodes[from]), first.field, chain(names)),
			"remove one of these dependencies"
	})
}

// chain joins names with arrows, and leaves out the middle of many.
func chain(names []string) string {
	const most = 12
	if len(names) > most {
		middle := fmt.Sprintf("(%d more)", len(names)-most+1)
		names = slices.Concat(names[:most/2], []string{middle}, names[len(names)-most/2+1:])
	}
	return strings.Join(names, " → ")
}

// graph holds, for each task, those that it waits for.
type graph [][]int

func newGraph(nodes []taskNodes, byID map[string]int) graph {
	g := make(graph, len(nodes))
	for i, t := range nodes {
		if t.id == nil || byID[t.id.Value] != i {
			continue // another task stands for this id
		}
		for _, e := range t.edges {
			if source, ok := byID[e.source]; ok && source != i {
				g[i] = append(g[i], source)
			}
		}
	}
	return g
}

// components numbers the strongly connected components (Tarjan's algorithm): two
// tasks are on a common cycle when they have the same number.
func (g graph) components() []int {
	component := make([]int, len(g))
	low, order := make([]int, len(g)), make([]int, len(g)) // order 0: not visited
	var stack []int
	visited, found := 0, 0
	var visit func(int)
	visit = func(v int) {
		visited++
		order[v], low[v] = visited, visited
		stack = append(stack, v)
		for _, w := range g[v] {
			switch {
			case order[w] == 0:
				visit(w)
				low[v] = min(low[v], low[w])
			case component[w] == 0: // still on the stack
				low[v] = min(low[v], order[w])
			}
		}
		if low[v] != order[v] {
			return
		}
		found++
		for {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			component[w] = found
			if w == v {
				return
			}
		}
	}
	for v := range g {
		if order[v] == 0 {
			visit(v)
		}
	}
	return component
}

// path returns a shortest path from one task to another, both included.
func (g graph) path(from, to int) []int {
	next := map[int]int{to: to} // towards to; searched from there backwards
	waiting := make([][]int, len(g))
	for v, sources := range g {
		for _, w := range sources {
			waiting[w] = append(waiting[w], v)
		}
	}
	for queue := []int{to}; len(queue) > 0; queue = queue[1:] {
		for _, v := range waiting[queue[0]] {
			if _, seen := next[v]; !seen {
				next[v] = queue[0]
				queue = append(queue, v)
			}
		}
	}
	path := []int{from}
	for v := from; v != to; {
		v = next[v]
		path = append(path, v)
	}
	return path
}
