package main

import (
	"context"
	"net/http"

	"dyno/core"
	"github.com/uptrace/bun"
)

func (v service) types(r *http.Request) (any, error) {
	found := []contactType{}
	err := v.db.NewSelect().Model(&found).Order("type_id").Scan(r.Context())
	return found, err
}

func (v service) contacts(load func(context.Context, bun.Conn, core.Page) ([]*contact, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		p, err := core.ParsePage(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		connection, err := v.db.Conn(r.Context())
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		found, err := load(r.Context(), connection, p)
		return allAsJSON(found), err
	}
}

func (v service) contact(r *http.Request) (any, error) {
	id, err := core.ParseContactID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	connection, err := v.db.Conn(r.Context())
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	found, err := findContact(r.Context(), connection, id)
	if err != nil {
		return nil, err
	}
	return asJSON(found), nil
}

func (v service) contactCreate(r *http.Request) (any, error) {
	n, err := core.ReadNewContact(r)
	if err != nil {
		return nil, err
	}
	stored, err := storeContact(r.Context(), v.db, n)
	if err != nil {
		return nil, err
	}
	return asJSON(stored), nil
}
