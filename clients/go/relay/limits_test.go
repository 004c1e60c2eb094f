package relay

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const protocolPage = "../../../docs/protocol.md"

func TestTheLimitsAreThoseOfTheProtocolPage(t *testing.T) {
	page, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\|[^|]+\\|([^|]+)\\|[^|]*\\| `([A-Z_]+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		table[row[2]] = strings.ReplaceAll(row[1], " ", "")
	}
	limits := constantsOf(t, "limits.go")
	if len(limits) == 0 {
		t.Fatal("no constant in limits.go")
	}
	for name, value := range limits {
		if got := strconv.FormatInt(value, 10); table[name] != got {
			t.Errorf("%s is %s here and %q on the page", name, got, table[name])
		}
	}
}

// constantsOf evaluates the constants of a file that imports nothing, by their names as the page writes them.
func constantsOf(t *testing.T, path string) map[string]int64 {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	scope, err := new(types.Config).Check("limits", files, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("([a-z])([A-Z])|([A-Z])([A-Z][a-z])")
	values := map[string]int64{}
	for _, name := range scope.Scope().Names() {
		value, _ := constant.Int64Val(scope.Scope().Lookup(name).(*types.Const).Val())
		values[strings.ToUpper(word.ReplaceAllString(name, "${1}${3}_${2}${4}"))] = value
	}
	return values
}
