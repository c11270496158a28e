package main

import (
	"io"
	"net/http"
	"strings"
)

func helloText(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Hello "+nameIn(r)+"!")
}

func helloHTML(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<blink>Hello "+escape(nameIn(r))+"!</blink>")
}

// nameIn is the name in the query, else in the form, else World.
func nameIn(r *http.Request) string {
	if name := r.URL.Query().Get("name"); name != "" {
		return name
	}
	if name := r.PostFormValue("name"); name != "" {
		return name
	}
	return "World"
}

// escape spells entities as the contract (and Python's html.escape) does: html.EscapeString has &#39; and &#34;.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;").Replace
