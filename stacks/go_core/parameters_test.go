package core

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
)

func TestPageDefaults(t *testing.T) {
	got, err := ParsePage("")
	if err != nil || got != (Page{100, 0, ""}) {
		t.Fatal(got, err)
	}
}

func TestPagesThatAreTaken(t *testing.T) {
	for query, want := range map[string]Page{
		"limit=1":                      {1, 0, ""},
		"limit=200&offset=7&starts=Sm": {200, 7, "Sm"},
		"offset=9223372036854775807":   {100, 9223372036854775807, ""},
		"starts=100%25&other=1":        {100, 0, "100%"},
		"starts=":                      {100, 0, ""},
	} {
		if got, err := ParsePage(query); err != nil || got != want {
			t.Errorf("%s: %v %v", query, got, err)
		}
	}
}

func TestPagesThatAreRefused(t *testing.T) {
	for _, query := range []string{
		"limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=%2B5", "limit=1.0", "limit=1_0",
		"limit=1&limit=2", "limit=%zz", "limit=5;offset=1", "offset=-1", "offset=x", "offset=1&offset=1",
		"offset=9223372036854775808", "offset=99999999999999999999",
		"starts=%00", "starts=a%00b", "starts=%ff", "starts=a&starts=a",
	} {
		got, err := ParsePage(query)
		if statusOf(err) != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v %v", query, got, err)
		}
	}
}

func TestPrefixIsLiteral(t *testing.T) {
	for starts, want := range map[string]string{
		"": "%", "ab": "ab%", "100%": `100\%%`, "a_b": `a\_b%`, `\`: `\\%`, "D'A": "D'A%",
	} {
		if got := (Page{Starts: starts}).Like(); got != want {
			t.Errorf("%s: %s", starts, got)
		}
	}
}

func TestContactIDs(t *testing.T) {
	for text, want := range map[string]int{
		"1": http.StatusOK, "2147483647": http.StatusOK,
		"0": http.StatusNotFound, "-1": http.StatusNotFound, "2147483648": http.StatusNotFound,
		"99999999999999999999999": http.StatusNotFound, "-99999999999999999999999": http.StatusNotFound,
		"seven": http.StatusUnprocessableEntity, "+1": http.StatusUnprocessableEntity,
		"+99999999999999999999999": http.StatusUnprocessableEntity,
		"1.0":                      http.StatusUnprocessableEntity, " 1": http.StatusUnprocessableEntity,
	} {
		id, err := ParseContactID(text)
		if statusOf(err) != want || (err == nil && strconv.Itoa(int(id)) != text) {
			t.Errorf("%s: %d %v", text, id, err)
		}
	}
}

// statusOf is what the error would be answered with.
func statusOf(err error) int {
	var refused Refused
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	return http.StatusInternalServerError
}
