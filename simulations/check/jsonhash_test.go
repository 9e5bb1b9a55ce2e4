package check

import (
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

func TestJSONHash(t *testing.T) {
	same := func(a, b string) bool { return jsonHash(1, []byte(a)) == jsonHash(1, []byte(b)) }
	for _, pair := range [][2]string{
		{`{"a":1,"b":{"x":[1,2],"y":"\\"}}`, `{"b":{"y":"\\","x":[1,2]},"a":1}`},
		{`[{"a":null,"b":true}]`, `[{"b":true,"a":null}]`},
	} {
		if !same(pair[0], pair[1]) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{`[1,2]`, `[2,1]`}, {`{"a":1}`, `{"a":2}`}, {`{"a":1}`, `{"b":1}`}, {`{"a":1,"b":2}`, `{"a":2,"b":1}`}, {`[[1],2]`, `[[1,2]]`},
		{`{"a":"b"}`, `["a","b"]`}, {`{}`, `[]`}, {`""`, `null`}, {`{"a":{"b":1},"c":1}`, `{"a":{"b":1,"c":1}}`}, {`"a\""`, `"a"`}, {`12`, `1`},
		{`{"a":{"x":1},"b":{"x":2}}`, `{"a":{"x":2},"b":{"x":1}}`},
	} {
		if same(pair[0], pair[1]) {
			t.Errorf("%s and %s are taken for one", pair[0], pair[1])
		}
	}
}

// TestJSONHashKnowsNoOrder: whatever the order in which an encoder writes the
// members of maps, the hash is one; and it looks at every byte.
func TestJSONHashKnowsNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.MapOf(rapid.String(), rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.String()))).Draw(t, "value")
		first, err := json.Marshal(value)
		if err != nil {
			t.Skip()
		}
		for range 4 {
			again, err := json.Marshal(value)
			if err != nil || jsonHash(3, first) != jsonHash(3, again) {
				t.Fatalf("%s and %s differ: %v", first, again, err)
			}
		}
	})
}
