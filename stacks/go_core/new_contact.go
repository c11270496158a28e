package core

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// NewContact is a contact to store.
type NewContact struct {
	FirstName, LastName string
	TypeID              int32
	Phones, Emails      []string
}

// parseNewContact decodes field by field: encoding/json alone takes FIRST_NAME for first_name, null for anything, and
// writes U+FFFD where the text is broken.
func parseNewContact(body []byte) (NewContact, error) {
	var result NewContact
	if !utf8.Valid(body) {
		return result, Invalid("the body isn't UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return result, Invalid("the body isn't a JSON object: %v", err)
	}
	if err := json.Unmarshal(fields["type_id"], &result.TypeID); err != nil || result.TypeID < 1 {
		return result, Invalid("type_id must be the number of a contact type")
	}
	var err error
	if result.FirstName, err = text(fields, "first_name", 100); err != nil {
		return result, err
	}
	if result.LastName, err = text(fields, "last_name", 100); err != nil {
		return result, err
	}
	if result.Phones, err = texts(fields, "phones", 30); err != nil {
		return result, err
	}
	result.Emails, err = texts(fields, "emails", 256)
	return result, err
}

// text is a needed field of 1 to longest characters.
func text(fields map[string]json.RawMessage, name string, longest int) (string, error) {
	var value string
	if err := json.Unmarshal(fields[name], &value); err != nil || hasLoneSurrogate(fields[name]) || !storable(value, longest) {
		return "", Invalid("%s must be text of 1 to %d characters without NUL", name, longest)
	}
	return value, nil
}

// texts is a field that may be missing: a list of such texts.
func texts(fields map[string]json.RawMessage, name string, longest int) ([]string, error) {
	raw, given := fields[name]
	if !given {
		return nil, nil
	}
	var values []string
	// null decodes without an error, to nil.
	if err := json.Unmarshal(raw, &values); err != nil || values == nil || hasLoneSurrogate(raw) {
		return nil, Invalid("%s must be a list of texts", name)
	}
	for _, value := range values {
		if !storable(value, longest) {
			return nil, Invalid("%s must be texts of 1 to %d characters without NUL", name, longest)
		}
	}
	return values, nil
}

// storable refuses the empty text too, to which null decodes.
func storable(value string, longest int) bool {
	length := utf8.RuneCountInString(value)
	return 1 <= length && length <= longest && !strings.ContainsRune(value, 0)
}

// hasLoneSurrogate finds \ud800 and the like without its other half in valid JSON: no text of PostgreSQL can hold it.
func hasLoneSurrogate(raw []byte) bool {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return false
		}
		raw = raw[at:]
		first := escaped(raw)
		if !utf16.IsSurrogate(first) {
			raw = raw[2:]
			continue
		}
		if utf16.DecodeRune(first, escaped(raw[6:])) == utf8.RuneError {
			return true
		}
		raw = raw[12:]
	}
}

// escaped is the \uXXXX that raw begins with, or 0.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	number, _ := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return rune(number)
}
