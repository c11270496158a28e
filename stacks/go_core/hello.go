package core

import (
	"io"
	"net/http"
	"strings"
)

// HelloText greets in plain text.
func HelloText(w http.ResponseWriter, r *http.Request) {
	hello(w, r, "text/plain; charset=utf-8", func(name string) string { return "Hello " + name + "!" })
}

// HelloHTML greets in HTML.
func HelloHTML(w http.ResponseWriter, r *http.Request) {
	hello(w, r, "text/html; charset=utf-8", func(name string) string { return "<blink>Hello " + escape(name) + "!</blink>" })
}

func hello(w http.ResponseWriter, r *http.Request, contentType string, greeting func(string) string) {
	name, err := nameIn(r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, greeting(name))
}

// nameIn is the name in the query, else in the form, else World.
func nameIn(r *http.Request) (string, error) {
	if name := r.URL.Query().Get("name"); name != "" {
		return name, nil
	}
	// The error that a GET, or a body that is no form, gets here is none: there is no name.
	if err := r.ParseForm(); tooLarge(err) {
		return "", bodyTooLarge
	}
	if name := r.PostForm.Get("name"); name != "" {
		return name, nil
	}
	return "World", nil
}

// escape spells entities as the contract (and Python's html.escape) does: html.EscapeString has &#39; and &#34;.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;").Replace
