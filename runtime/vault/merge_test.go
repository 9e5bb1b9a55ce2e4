package vault

import (
	"testing"
)

func TestMerge(t *testing.T) {
	a, b, c := []byte("a"), []byte("b"), []byte("c")
	met := func(revision uint64, digest []byte) *base { return &base{revision, digest} }
	for what, row := range map[string]struct {
		given situation
		want  action
		lost  bool
	}{
		"both have nothing":                           {situation{}, nothing, false},
		"nothing, and it never met":                   {situation{first: true, revision: 3}, nothing, false},
		"as it was":                                   {situation{base: met(3, a), local: a, remote: a, revision: 3}, nothing, false},
		"new here":                                    {situation{local: a}, push, false},
		"new here, and the machine is new":            {situation{first: true, local: a}, push, false},
		"new there":                                   {situation{remote: a, revision: 3}, install, false},
		"new on both, equal":                          {situation{local: a, remote: a, revision: 3}, adopt, false},
		"new on both":                                 {situation{local: b, remote: a, revision: 3}, install, true},
		"changed here":                                {situation{base: met(3, a), local: b, remote: a, revision: 3}, push, false},
		"changed there":                               {situation{base: met(3, a), local: a, remote: b, revision: 4}, install, false},
		"changed on both":                             {situation{base: met(3, a), local: b, remote: c, revision: 4}, install, true},
		"changed on both, equal":                      {situation{base: met(3, a), local: b, remote: b, revision: 4}, adopt, false},
		"there and back there":                        {situation{base: met(3, a), local: a, remote: a, revision: 5}, adopt, false},
		"removed here":                                {situation{base: met(3, a), remote: a, revision: 3}, retract, false},
		"removed here, changed there":                 {situation{base: met(3, a), remote: b, revision: 4}, install, false},
		"removed there":                               {situation{base: met(3, a), local: a, revision: 4}, erase, false},
		"removed there, changed here":                 {situation{base: met(3, a), local: b, revision: 4}, erase, true},
		"removed on both":                             {situation{base: met(3, a), revision: 4}, forget, false},
		"made anew after a removal":                   {situation{local: b, revision: 4}, push, false},
		"removed before a new machine came with one":  {situation{first: true, local: b, revision: 4}, erase, true},
		"the vault has lost it":                       {situation{base: met(3, a), local: a}, push, false},
		"both have lost it":                           {situation{base: met(3, a)}, forget, false},
		"another life's revision":                     {situation{base: met(3, a), local: a, remote: b, revision: 3}, install, false},
		"another life's revision, and it is not here": {situation{base: met(3, a), remote: b, revision: 3}, install, false},
	} {
		if do, lost := merge(row.given); do != row.want || lost != row.lost {
			t.Errorf("%s: action %d, lost %v; want %d, %v", what, do, lost, row.want, row.lost)
		}
	}
}
