package core

import (
	"errors"
	"io"
	"net/http"
)

// LongestBody is far more than any contact needs, in bytes.
const LongestBody = 1 << 20

var bodyTooLarge = Refused{http.StatusRequestEntityTooLarge, "the body is longer than a MiB"}

// limitBodies ends the reading of a body that is too large, and its connection.
func limitBodies(handler http.Handler) http.Handler {
	return http.MaxBytesHandler(handler, LongestBody)
}

func tooLarge(err error) bool {
	var limit *http.MaxBytesError
	return errors.As(err, &limit)
}

// ReadNewContact reads a contact to store.
func ReadNewContact(r *http.Request) (NewContact, error) {
	body, err := io.ReadAll(r.Body)
	if tooLarge(err) {
		return NewContact{}, bodyTooLarge
	}
	if err != nil {
		return NewContact{}, err
	}
	return parseNewContact(body)
}
