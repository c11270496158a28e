package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
)

// Refused is an answer with a status and a `detail`.
type Refused struct {
	Status int
	Detail string
}

func (r Refused) Error() string { return r.Detail }

// Invalid is a parameter or a body that the contract refuses.
func Invalid(format string, arguments ...any) error {
	return Refused{http.StatusUnprocessableEntity, fmt.Sprintf(format, arguments...)}
}

// NoContact takes the number as it was written, which may be longer than any integer.
func NoContact(number string) error {
	return Refused{http.StatusNotFound, "no contact " + number}
}

// Answer writes what handle returns as JSON, or its refusal.
func Answer(status int, handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := handle(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		writeJSON(w, status, value)
	}
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refused Refused
	if !errors.As(err, &refused) {
		if r.Context().Err() == nil { // else the client has gone, which is no fault of the app
			log.Print(r.Method, " ", r.URL.Path, ": ", err)
		}
		refused = Refused{http.StatusInternalServerError, "internal error"}
	}
	writeJSON(w, refused.Status, map[string]string{"detail": refused.Detail})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}

// Routes is a ServeMux of patterns with methods ("GET /types"), whose 404 and 405 have a `detail` too.
func Routes(handlers map[string]http.HandlerFunc) http.Handler {
	mux, plain := http.NewServeMux(), http.NewServeMux()
	for pattern, handler := range handlers {
		mux.HandleFunc(pattern, handler)
		plain.HandleFunc(pattern, handler)
	}
	// With a catch-all a ServeMux answers no 405 by itself: the one without it says which of the two it is.
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refusal := unwritten{header: http.Header{}}
		plain.ServeHTTP(&refusal, r)
		if refusal.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", refusal.header.Get("Allow"))
			refuse(w, r, Refused{refusal.status, r.Method + " isn't allowed here"})
			return
		}
		refuse(w, r, Refused{http.StatusNotFound, "nothing is at " + r.URL.Path})
	})
	return mux
}

// unwritten is an answer of which only the status and the headers are wanted.
type unwritten struct {
	status int
	header http.Header
}

func (u *unwritten) Header() http.Header               { return u.header }
func (u *unwritten) WriteHeader(status int)            { u.status = status }
func (u *unwritten) Write(content []byte) (int, error) { return len(content), nil }
