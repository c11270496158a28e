package main

import (
	"net/url"
	"testing"
)

func TestPageDefaults(t *testing.T) {
	got, err := parsePage(url.Values{})
	if err != nil || got != (page{100, 0, ""}) {
		t.Fatal(got, err)
	}
}

func TestPagesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=%2B5", "limit=1&limit=2", "offset=-1",
		"offset=99999999999999999999", "starts=%00", "starts=%ff",
	} {
		query, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsePage(query); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestPrefixIsLiteral(t *testing.T) {
	for starts, want := range map[string]string{"ab": "ab%", "100%": `100\%%`, "a_b": `a\_b%`, `\`: `\\%`} {
		if got := (page{starts: starts}).like(); got != want {
			t.Errorf("%s: %s", starts, got)
		}
	}
}

func TestBodies(t *testing.T) {
	good := `{"first_name": "Zoë", "last_name": "B", "type_id": 2, "phones": ["1"]}`
	if _, err := parseNewContact([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "[]", "{", `{"first_name": "A", "last_name": "B"}`,
		`{"first_name": "", "last_name": "B", "type_id": 2}`,
		`{"first_name": "\u0000", "last_name": "B", "type_id": 2}`,
		`{"first_name": "A", "last_name": "B", "type_id": "2"}`,
		`{"first_name": "A", "last_name": "B", "type_id": 2, "phones": "1"}`,
	} {
		if got, err := parseNewContact([]byte(bad)); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}

func TestFibonacciStartsWithTwoOnes(t *testing.T) {
	for n, want := range []int{1, 1, 2, 3, 5, 8, 13, 21} {
		if got := fibonacci(n); got != want {
			t.Errorf("fibonacci(%d) = %d", n, got)
		}
	}
}
