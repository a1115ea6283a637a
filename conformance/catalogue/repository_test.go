package catalogue

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the repository, as seen from this package.
const root = "../.."

// unread are the folders that hold nothing written here.
var unread = map[string]bool{".git": true, "bin": true, "gen": true, "third_party": true}

// eachFile visits the files of the repository with one of the endings.
func eachFile(t *testing.T, visit func(path string, text []byte), endings ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() {
			if unread[name] {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !slices.Contains(endings, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			visit(name, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var mention = regexp.MustCompile(`\b((?:A-)?[A-Z]{2,})-([0-9]+)\b`)

// otherNames look like ids of rules and are none.
var otherNames = map[string]bool{"AES": true, "SHA": true, "UTF": true}

// TestEveryRuleThatIsMentionedIsInTheCatalogue reads comments, texts and documents alike.
func TestEveryRuleThatIsMentionedIsInTheCatalogue(t *testing.T) {
	c := load(t)
	mentioned := 0
	eachFile(t, func(path string, text []byte) {
		for i, line := range strings.Split(string(text), "\n") {
			for _, m := range mention.FindAllStringSubmatch(line, -1) {
				if otherNames[m[1]] {
					continue
				}
				mentioned++
				if _, err := c.Rule(m[0]); err != nil {
					t.Errorf("%s:%d: %v", path, i+1, err)
				}
			}
		}
	}, ".go", ".proto", ".md", ".yaml", ".yml", ".py", ".sh")
	if mentioned < len(c.Rules(Filter{})) {
		t.Errorf("only %d ids were found: the search is broken", mentioned)
	}
}

// testName is a test of the repository, or a case of a contract suite.
type testName struct{ pkg, name string }

func (n testName) String() string { return n.pkg + ":" + n.name }

// testNames are the tests of the repository, and the cases of its contract suites: the
// packages whose name ends in "test", which name each case by a string that begins its
// entry of a table.
func testNames(t *testing.T) []testName {
	t.Helper()
	var out []testName
	eachFile(t, func(path string, text []byte) {
		pkg := filepath.ToSlash(filepath.Dir(path))
		isTest, inSuite := strings.HasSuffix(path, "_test.go"), strings.HasSuffix(pkg, "test")
		if !isTest && !inSuite {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			var name string
			switch node := node.(type) {
			case *ast.FuncDecl:
				if isTest && node.Recv == nil {
					name = node.Name.Name
				}
			case *ast.CompositeLit:
				if inSuite {
					name = firstString(node)
				}
			}
			if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || inSuite && name != "" {
				out = append(out, testName{pkg, name})
			}
			return true
		})
	}, ".go")
	return out
}

func firstString(lit *ast.CompositeLit) string {
	if len(lit.Elts) == 0 {
		return ""
	}
	first, ok := lit.Elts[0].(*ast.BasicLit)
	if !ok || first.Kind != token.STRING {
		return ""
	}
	name, err := strconv.Unquote(first.Value)
	if err != nil || !token.IsIdentifier(name) {
		return ""
	}
	return name
}

var (
	firstID = regexp.MustCompile(`^(?:Test|Fuzz)?([A-Z][A-Za-z]*?)([0-9]+)`)
	nextID  = regexp.MustCompile(`^(And|To)([0-9]+)`)
	laterID = regexp.MustCompile(`And([A-Z][A-Za-z]*?)([0-9]+)`)
)

// ids are the rules that a test is named after: TestState4…, TestXCom2And3…,
// TestAuth1To5…, TestBeat3AndState4…. A family that agents have as well is theirs in
// their own package.
func (n testName) ids(families map[string]bool) []string {
	m := firstID.FindStringSubmatch(n.name)
	if m == nil {
		return nil
	}
	family := familyOf(m[1], n.pkg, families)
	if family == "" {
		return nil
	}
	last, _ := strconv.Atoi(m[2])
	out := []string{id(family, last)}
	rest := n.name[len(m[0]):]
	for m := nextID.FindStringSubmatch(rest); m != nil; m = nextID.FindStringSubmatch(rest) {
		number, _ := strconv.Atoi(m[2])
		if m[1] == "And" {
			last = number - 1
		}
		for last < number {
			last++
			out = append(out, id(family, last))
		}
		rest = rest[len(m[0]):]
	}
	for _, m := range laterID.FindAllStringSubmatch(rest, -1) {
		if family := familyOf(m[1], n.pkg, families); family != "" {
			number, _ := strconv.Atoi(m[2])
			out = append(out, id(family, number))
		}
	}
	return out
}

func id(family string, number int) string { return fmt.Sprintf("%s-%d", family, number) }

// familyOf is the family that a word in the name of a test means; empty: none.
func familyOf(word, pkg string, families map[string]bool) string {
	word = strings.ToUpper(word)
	tries := []string{word, "A-" + word, "A-" + strings.TrimPrefix(word, "A")}
	if pkg == "internal/agent" {
		tries = []string{"A-" + word, word}
	}
	for _, family := range tries {
		if families[family] {
			return family
		}
	}
	return ""
}

func familySet(c *Catalogue) map[string]bool {
	out := map[string]bool{}
	for _, f := range c.Families() {
		out[f.ID] = true
	}
	return out
}

func TestNamesOfTestsAreUnderstood(t *testing.T) {
	families := familySet(load(t))
	for name, want := range map[testName][]string{
		{"internal/auth", "TestAuth1To5EveryRPC"}:                  {"AUTH-1", "AUTH-2", "AUTH-3", "AUTH-4", "AUTH-5"},
		{"internal/x", "TestXCom2And3ARejectedValue"}:              {"XCOM-2", "XCOM-3"},
		{"internal/x", "TestBeat3AndState4NotLive"}:                {"BEAT-3", "STATE-4"},
		{"internal/x", "TestState3AreHeardAndState5NothingReopen"}: {"STATE-3", "STATE-5"},
		{"internal/logs/logstest", "Log13NewerTakesOver"}:          {"LOG-13"},
		{"internal/agent", "TestLog3Nothing"}:                      {"A-LOG-3"},
		{"internal/agent", "TestAuth8Nothing"}:                     {"AUTH-8"},
		{"internal/pipeline", "TestAEnv4Parameters"}:               {"A-ENV-4"},
		{"internal/pipeline", "TestRun2Failure"}:                   {"A-RUN-2"},
		{"internal/x", "TestLogging"}:                              nil,
		{"internal/x", "TestFit4Fun"}:                              nil,
	} {
		if got := name.ids(families); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", name, got, want)
		}
	}
}
