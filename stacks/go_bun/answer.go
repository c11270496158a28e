package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
)

// refused is an answer with a status and a `detail`.
type refused struct {
	status int
	detail string
}

func (r refused) Error() string { return r.detail }

func invalid(format string, arguments ...any) error {
	return refused{http.StatusUnprocessableEntity, fmt.Sprintf(format, arguments...)}
}

// noContact takes the number as it was written, which may be longer than any integer.
func noContact(number string) error {
	return refused{http.StatusNotFound, "no contact " + number}
}

// answer writes what handle returns as JSON, or its refusal.
func answer(status int, handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := handle(r)
		var refusal refused
		switch {
		case errors.As(err, &refusal):
			writeJSON(w, refusal.status, map[string]string{"detail": refusal.detail})
		case err != nil:
			if r.Context().Err() == nil { // else the client has gone, which is no fault of the app
				log.Print(r.Method, " ", r.URL.Path, ": ", err)
			}
			writeJSON(w, http.StatusInternalServerError, map[string]string{"detail": "internal error"})
		default:
			writeJSON(w, status, value)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}
