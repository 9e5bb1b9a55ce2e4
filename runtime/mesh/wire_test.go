package mesh

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"pantheon/events"
)

const someDrop = events.DropID("d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0")

// FuzzRequestHead: whatever is read is a request, and reads the same when it is
// written again.
func FuzzRequestHead(f *testing.F) {
	r := httptest.NewRequest("POST", "/a?b=c", nil)
	r.Header.Set("Cookie", "x")
	r.ContentLength = 7
	f.Add(appendRequest(nil, r, someDrop, true))
	f.Add(appendRequest(nil, r, someDrop, false))
	r.TLS = encrypted
	f.Add(appendRequest(nil, r, someDrop, false))
	f.Fuzz(func(t *testing.T, head []byte) {
		p, err := parseRequest(t.Context(), head)
		if err != nil {
			return
		}
		again, err := parseRequest(t.Context(), appendRequest(nil, p.request, p.drop, p.hasBody))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%+v\n%+v", p.request, again.request)
		}
	})
}

// FuzzResponseHead is the same for responses.
func FuzzResponseHead(f *testing.F) {
	f.Add(appendResponse(nil, 200, http.Header{"Set-Cookie": {"a", "b"}, "X": {}}))
	f.Fuzz(func(t *testing.T, head []byte) {
		fields, same := http.Header{}, http.Header{}
		status, err := parseResponse(head, fields)
		if err != nil {
			return
		}
		again, err := parseResponse(appendResponse(nil, status, fields), same)
		if err != nil || again != status || !reflect.DeepEqual(fields, same) {
			t.Error(status, again, fields, same, err)
		}
	})
}
