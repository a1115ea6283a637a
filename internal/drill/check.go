package drill

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// The streams of a task's log.
const (
	stdout = "stdout"
	stderr = "stderr"
)

// Check holds what is stored against what must become of each task: state, tries,
// causes, value, and every line that it prints, acknowledged or not. What differs is
// wrong: only what was acknowledged can be lost.
func (p *Plan) Check(v *Verdict, stored *Stored) {
	attempts := 0
	for i := range p.Tasks {
		task := &p.Tasks[i]
		attempts += len(task.Tries)
		there, ok := stored.Tasks[task.ID]
		if !ok {
			v.wrong("%s: the task", task.ID)
			continue
		}
		if there.GetState() != task.State || int(there.GetTryNumber()) != len(task.Tries) {
			v.wrong("%s: it is %v after %d tries, and should be %v after %d", task.ID,
				there.GetState(), there.GetTryNumber(), task.State, len(task.Tries))
		}
		if value := stored.Values[task.ID]; !bytes.Equal(value, task.Value) {
			v.wrong("%s: its value of %d bytes is not the one of %d bytes that it wrote", task.ID, len(value), len(task.Value))
		}
		for i, try := range task.Tries {
			p.checkTry(v, stored, Attempt{stored.Dag, stored.Run, task.ID, int32(i + 1)}, try)
		}
	}
	if len(stored.Tasks) != len(p.Tasks) || len(stored.Attempts) != attempts {
		v.wrong("%d tasks and %d attempts are stored, and should be %d and %d", len(stored.Tasks), len(stored.Attempts), len(p.Tasks), attempts)
	}
}

func (p *Plan) checkTry(v *Verdict, stored *Stored, a Attempt, try Try) {
	there, ok := stored.Attempts[a]
	if !ok {
		v.wrong("%v: the attempt", a)
		return
	}
	if there.GetState() != try.State || there.GetCause() != try.Cause {
		v.wrong("%v: it is %v for %v (%q), and should be %v for %v", a, there.GetState(), there.GetCause(), there.GetMessage(), try.State, try.Cause)
	}
	printed := map[string]int64{}
	for _, record := range there.Log {
		name, number := record.GetStream(), record.GetLineNumber()
		if number == 0 {
			continue
		}
		printed[name] = max(printed[name], number)
		if want := p.line(a, name, int(number)); record.GetMessage() != want {
			v.wrong("%v: line %d of %s is %q, and the task printed %q", a, number, name, record.GetMessage(), want)
		}
	}
	if printed[stdout] != int64(try.Lines) || printed[stderr] != int64(try.Lines/2) {
		v.wrong("%v: its log has %d and %d lines, and it printed %d and %d", a, printed[stdout], printed[stderr], try.Lines, try.Lines/2)
	}
}

// line is the text of a line that task.sh prints.
func (p *Plan) line(a Attempt, stream string, n int) string {
	mark, i := "o", n
	if stream == stderr {
		mark, i = "e", 2*n
	}
	width := i % 80
	if i%97 == 0 {
		width = 5000
	}
	return fmt.Sprintf("%v %s %d %s", a, mark, n, p.pad[:width])
}

// shownLine is a line of a task within the output of leoflow run.
var shownLine = regexp.MustCompile(`(?m)^\w+ +[│┃] (\w+/\d+) ([oe]) (\d+) [0-9a-f]*$`)

// CheckShown holds the output of leoflow run against the plan: each line of a task was
// shown once, in the order of its stream.
func (p *Plan) CheckShown(v *Verdict, output string) {
	shown := map[string]int{} // by attempt and stream: the last line's number
	for _, m := range shownLine.FindAllStringSubmatch(output, -1) {
		n, _ := strconv.Atoi(m[3]) // digits alone
		key := m[1] + " " + m[2]
		switch last := shown[key]; {
		case n <= last:
			v.wrong("%s: line %d was shown again", key, n)
		case n > last+1:
			v.wrong("%s: lines %d to %d were not shown", key, last+1, n-1)
		}
		shown[key] = max(shown[key], n)
	}
	for _, task := range p.Tasks {
		for i, try := range task.Tries {
			key := fmt.Sprintf("%s/%d", task.ID, i+1)
			if shown[key+" o"] != try.Lines || shown[key+" e"] != try.Lines/2 {
				v.wrong("%s: %d and %d lines were shown, of %d and %d", key, shown[key+" o"], shown[key+" e"], try.Lines, try.Lines/2)
			}
		}
	}
}

// CheckBegun holds how often tasks began, by their own account in dir, against the
// plan: no attempt ran twice.
func (p *Plan) CheckBegun(v *Verdict, dir string) error {
	entries, err := os.ReadDir(filepath.Join(dir, "tries"))
	if err != nil {
		return err
	}
	var begun, want []string
	for _, entry := range entries {
		begun = append(begun, entry.Name())
	}
	for _, task := range p.Tasks {
		for i := range task.Tries {
			want = append(want, fmt.Sprintf("%s.%d", task.ID, i+1))
		}
	}
	slices.Sort(want)
	slices.Sort(begun)
	if !slices.Equal(begun, want) {
		v.wrong("the tasks that began are %v, and should be %v", begun, want)
	}
	return nil
}
