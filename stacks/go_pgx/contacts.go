package main

import (
	"context"
	"net/http"

	"dyno/core"
	"github.com/jackc/pgx/v5/pgxpool"
)

type loader func(context.Context, *pgxpool.Conn, core.Page) ([]*core.Contact, error)

func (v service) contacts(load loader) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		page, err := core.ParsePage(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		connection, err := v.pool.Acquire(r.Context())
		if err != nil {
			return nil, err
		}
		defer connection.Release()
		return load(r.Context(), connection, page)
	}
}

func (v service) types(r *http.Request) (any, error) {
	return loadTypes(r.Context(), v.pool)
}

func (v service) contact(r *http.Request) (any, error) {
	id, err := core.ParseContactID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	connection, err := v.pool.Acquire(r.Context())
	if err != nil {
		return nil, err
	}
	defer connection.Release()
	return findContact(r.Context(), connection, id)
}

func (v service) contactCreate(r *http.Request) (any, error) {
	contact, err := core.ReadNewContact(r)
	if err != nil {
		return nil, err
	}
	return storeContact(r.Context(), v.pool, contact)
}
