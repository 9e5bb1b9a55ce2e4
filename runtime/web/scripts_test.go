package web

import (
	"fmt"
	"testing"
)

// However many scripts a release has, no more than maxScripts are remembered,
// and none after a rest.
func TestScriptsAreBounded(t *testing.T) {
	var k scripts
	for i := range 3 * maxScripts {
		k.add(fmt.Sprintf("/%d.php", i))
	}
	if !k.has("/0.php") || k.has("/unknown.php") || len(k.known) != maxScripts {
		t.Errorf("%d are remembered", len(k.known))
	}
	k.clear()
	if k.has("/0.php") {
		t.Error("remembered after a rest")
	}
}
