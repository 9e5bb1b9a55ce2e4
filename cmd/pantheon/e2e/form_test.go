package e2e

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// form is a form of a page, filled in as a browser would find it.
type form struct {
	action string
	fields url.Values
}

// form finds the form with an attribute of a value, for example id=login.
func (g page) form(t *testing.T, attribute, value string) form {
	t.Helper()
	tree, err := html.Parse(strings.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	for node := range tree.Descendants() {
		if node.Data != "form" || attr(node, attribute) != value {
			continue
		}
		action, err := base.Parse(attr(node, "action"))
		if err != nil {
			t.Fatal(err)
		}
		return form{action.String(), fieldsOf(node)}
	}
	t.Fatalf("no form with %s=%q: %s", attribute, value, g)
	return form{}
}

// fieldsOf gives what a browser would send; buttons are the caller's choice.
func fieldsOf(node *html.Node) url.Values {
	fields := url.Values{}
	for n := range node.Descendants() {
		name := attr(n, "name")
		switch {
		case name == "" || has(n, "disabled"):
		case n.Data == "textarea":
			fields.Set(name, textOf(n))
		case n.Data == "select":
			fields[name] = chosen(n)
		case n.Data != "input":
		case attr(n, "type") == "checkbox" || attr(n, "type") == "radio":
			if has(n, "checked") {
				fields.Add(name, attr(n, "value"))
			}
		case attr(n, "type") != "submit" && attr(n, "type") != "file" && attr(n, "type") != "image":
			fields.Set(name, attr(n, "value"))
		}
	}
	return fields
}

// chosen gives the selected options, the first one where none is.
func chosen(list *html.Node) []string {
	var first, selected []string
	for n := range list.Descendants() {
		if n.Data != "option" {
			continue
		}
		if first == nil {
			first = []string{attr(n, "value")}
		}
		if has(n, "selected") {
			selected = append(selected, attr(n, "value"))
		}
	}
	if selected == nil && !has(list, "multiple") {
		return first
	}
	return selected
}

func attr(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(node *html.Node, name string) bool {
	for _, a := range node.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for n := range node.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
		}
	}
	return text.String()
}

// submit sends a form with some of its fields changed, given as names and
// values in turn.
func (v *visitor) submit(t *testing.T, f form, changes ...string) page {
	t.Helper()
	for i := 0; i+1 < len(changes); i += 2 {
		f.fields.Set(changes[i], changes[i+1])
	}
	return v.post(t, f.action, f.fields)
}
