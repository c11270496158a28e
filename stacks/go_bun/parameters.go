package main

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
		return 0, invalid("%s must be a whole number from %d to %d", name, low, high)
	}
	return number, nil
}

// page is what a request for contacts asks for.
type page struct {
	limit, offset int64
	starts        string
}

// parsePage reads the raw query, since url.URL.Query drops what is ill-formed: a default would hide the mistake.
func parsePage(rawQuery string) (page, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return page{}, invalid("the query is ill-formed: %v", err)
	}
	limit, err := single(query, "limit", "100")
	if err != nil {
		return page{}, err
	}
	offset, err := single(query, "offset", "0")
	if err != nil {
		return page{}, err
	}
	var result page
	if result.limit, err = integer("limit", limit, 1, 200); err != nil {
		return page{}, err
	}
	if result.offset, err = integer("offset", offset, 0, math.MaxInt64); err != nil {
		return page{}, err
	}
	if result.starts, err = single(query, "starts", ""); err != nil {
		return page{}, err
	}
	if strings.ContainsRune(result.starts, 0) || !utf8.ValidString(result.starts) {
		return page{}, invalid("starts must be UTF-8 without NUL")
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
	return "", invalid("%s is given more than once", name)
}

var literal = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// like is the prefix as a LIKE pattern in which nothing is a wildcard but the end.
func (p page) like() string { return literal.Replace(p.starts) + "%" }

// parseContactID takes any whole number. One that no row can have isn't found rather than invalid.
func parseContactID(text string) (int32, error) {
	number, err := strconv.ParseInt(text, 10, 32)
	switch {
	case strings.HasPrefix(text, "+") || (err != nil && !errors.Is(err, strconv.ErrRange)):
		return 0, invalid("contact_id must be a whole number")
	case err != nil || number < 1:
		return 0, noContact(text)
	}
	return int32(number), nil
}
