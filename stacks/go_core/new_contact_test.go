package core

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func body(firstName string) string {
	return `{"first_name": "` + firstName + `", "last_name": "B", "type_id": 2}`
}

func TestNewContactIsReadWhole(t *testing.T) {
	got, err := parseNewContact([]byte(`{"first_name": "静香", "last_name": "O'Brien \ud83d\udc19", "type_id": 3,
		"phones": ["+1 2", "+3 4"], "emails": ["a@example.org"], "more": null}`))
	if err != nil || got.FirstName != "静香" || got.LastName != "O'Brien 🐙" || got.TypeID != 3 ||
		!slices.Equal(got.Phones, []string{"+1 2", "+3 4"}) || !slices.Equal(got.Emails, []string{"a@example.org"}) {
		t.Fatal(got, err)
	}
}

func TestNewContactsThatAreTaken(t *testing.T) {
	for _, good := range []string{
		body("A"), body(strings.Repeat("静", 100)), body(`\\ud800`), body(`\ufffd`), body("\ufffd"), body(`\ud83d\udc19\n`),
		`{"first_name": "A", "last_name": "B", "type_id": 2, "phones": [], "emails": []}`,
	} {
		if _, err := parseNewContact([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestNewContactsThatAreRefused(t *testing.T) {
	with := func(more string) string { return `{"first_name": "A", "last_name": "B", ` + more + `}` }
	for _, bad := range []string{
		"", "[]", "null", "{", "{}", body("A") + "x", strings.Repeat("[", 1<<16),
		body(""), body(`\u0000`), body("\xff"), body(`\ud800`), body(`\udc19\ud83d`), body(`\ud800\n`), body(`\ud800A`),
		body(strings.Repeat("静", 101)), body(strings.Repeat("x", 1<<16)),
		`{"first_name": "A", "type_id": 2}`, `{"first_name": 7, "last_name": "B", "type_id": 2}`,
		`{"first_name": null, "last_name": "B", "type_id": 2}`, `{"FIRST_NAME": "A", "last_name": "B", "type_id": 2}`,
		`{"first_name": "A", "last_name": "B"}`,
		with(`"type_id": 0`), with(`"type_id": -1`), with(`"type_id": "2"`), with(`"type_id": null`), with(`"type_id": true`),
		with(`"type_id": 2.0`), with(`"type_id": 2147483648`),
		with(`"type_id": 2, "phones": "1"`), with(`"type_id": 2, "phones": null`), with(`"type_id": 2, "phones": ["1", ""]`),
		with(`"type_id": 2, "phones": [1]`), with(`"type_id": 2, "phones": [null]`), with(`"type_id": 2, "phones": ["\ud800"]`),
		with(`"type_id": 2, "phones": ["` + strings.Repeat("1", 31) + `"]`), with(`"type_id": 2, "emails": {}`),
		with(`"type_id": 2, "emails": ["` + strings.Repeat("e", 257) + `"]`),
	} {
		got, err := parseNewContact([]byte(bad))
		if statusOf(err) != http.StatusUnprocessableEntity {
			t.Errorf("%.100s: %v %v", bad, got, err)
		}
	}
}
