package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// refused is an answer with a status and a `detail`.
type refused struct {
	status int
	detail string
}

func (r refused) Error() string { return r.detail }

func invalid(format string, arguments ...any) error {
	return refused{422, fmt.Sprintf(format, arguments...)}
}

func noContact(id int64) error {
	return refused{404, fmt.Sprintf("no contact %d", id)}
}

func integer(name, text string, low, high int64) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strings.HasPrefix(text, "+") || number < low || number > high {
		return 0, invalid("%s must be a whole number from %d to %d", name, low, high)
	}
	return number, nil
}

// page is what a request for contacts asks for.
type page struct {
	limit, offset int64
	starts        string
}

func parsePage(query url.Values) (page, error) {
	values := map[string]string{"limit": "100", "offset": "0", "starts": ""}
	for name := range values {
		if len(query[name]) > 1 {
			return page{}, invalid("%s is given more than once", name)
		}
		if query.Has(name) {
			values[name] = query.Get(name)
		}
	}
	limit, err := integer("limit", values["limit"], 1, 200)
	if err != nil {
		return page{}, err
	}
	offset, err := integer("offset", values["offset"], 0, math.MaxInt64)
	if err != nil {
		return page{}, err
	}
	if strings.ContainsRune(values["starts"], 0) || !utf8.ValidString(values["starts"]) {
		return page{}, invalid("starts must be UTF-8 without NUL")
	}
	return page{limit, offset, values["starts"]}, nil
}

var literal = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// like is the prefix as a LIKE pattern in which nothing is a wildcard but the end.
func (p page) like() string { return literal.Replace(p.starts) + "%" }

func parseContactID(text string) (int32, error) {
	number, err := integer("contact_id", text, math.MinInt64, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	if number < 1 || number > math.MaxInt32 {
		return 0, noContact(number)
	}
	return int32(number), nil
}

// newContact is a contact to store.
type newContact struct {
	FirstName *string  `json:"first_name"`
	LastName  *string  `json:"last_name"`
	TypeID    *int32   `json:"type_id"`
	Phones    []string `json:"phones"`
	Emails    []string `json:"emails"`
}

func parseNewContact(body []byte) (newContact, error) {
	var result newContact
	if err := json.Unmarshal(body, &result); err != nil {
		return result, invalid("the body isn't the JSON of a contact: %v", err)
	}
	if result.FirstName == nil || result.LastName == nil || result.TypeID == nil {
		return result, invalid("first_name, last_name and type_id are needed")
	}
	if err := checkText("first_name", 100, *result.FirstName); err != nil {
		return result, err
	}
	if err := checkText("last_name", 100, *result.LastName); err != nil {
		return result, err
	}
	if err := checkText("phones", 30, result.Phones...); err != nil {
		return result, err
	}
	return result, checkText("emails", 256, result.Emails...)
}

func checkText(name string, longest int, values ...string) error {
	for _, value := range values {
		if length := utf8.RuneCountInString(value); length < 1 || length > longest || strings.ContainsRune(value, 0) {
			return invalid("%s must be text of 1 to %d characters without NUL", name, longest)
		}
	}
	return nil
}
