package core

import (
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// integer is a whole number in ASCII digits.
func integer(name, text string, low, high int64) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strings.HasPrefix(text, "+") || number < low || number > high {
		return 0, Invalid("%s must be a whole number from %d to %d", name, low, high)
	}
	return number, nil
}

// Page is what a request for contacts asks for.
type Page struct {
	Limit, Offset int64
	Starts        string
}

// ParsePage reads the raw query, since url.URL.Query drops what is ill-formed: a default would hide the mistake.
func ParsePage(rawQuery string) (Page, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Page{}, Invalid("the query is ill-formed: %v", err)
	}
	limit, err := single(query, "limit", "100")
	if err != nil {
		return Page{}, err
	}
	offset, err := single(query, "offset", "0")
	if err != nil {
		return Page{}, err
	}
	var result Page
	if result.Limit, err = integer("limit", limit, 1, 200); err != nil {
		return Page{}, err
	}
	if result.Offset, err = integer("offset", offset, 0, math.MaxInt64); err != nil {
		return Page{}, err
	}
	if result.Starts, err = single(query, "starts", ""); err != nil {
		return Page{}, err
	}
	if strings.ContainsRune(result.Starts, 0) || !utf8.ValidString(result.Starts) {
		return Page{}, Invalid("starts must be UTF-8 without NUL")
	}
	return result, nil
}

func single(query url.Values, name, otherwise string) (string, error) {
	switch values := query[name]; len(values) {
	case 0:
		return otherwise, nil
	case 1:
		return values[0], nil
	}
	return "", Invalid("%s is given more than once", name)
}

var literal = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Like is the prefix as a LIKE pattern in which nothing is a wildcard but the end.
func (p Page) Like() string { return literal.Replace(p.Starts) + "%" }

// ParseContactID takes any whole number. One that no row can have isn't found rather than invalid.
func ParseContactID(text string) (int32, error) {
	number, err := strconv.ParseInt(text, 10, 32)
	switch {
	case strings.HasPrefix(text, "+") || (err != nil && !errors.Is(err, strconv.ErrRange)):
		return 0, Invalid("contact_id must be a whole number")
	case err != nil || number < 1:
		return 0, NoContact(text)
	}
	return int32(number), nil
}
