package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
)

// openDatabase opens the pool with all its connections, so that none is opened while requests wait.
func openDatabase(s settings) (*bun.DB, error) {
	password, _ := s.databaseURL.User.Password()
	network, address := "tcp", s.databaseURL.Host
	if s.databaseURL.Port() == "" {
		address = net.JoinHostPort(s.databaseURL.Hostname(), "5432")
	}
	if folder := s.databaseURL.Query().Get("host"); strings.HasPrefix(folder, "/") {
		port := s.databaseURL.Port()
		if port == "" {
			port = "5432"
		}
		network, address = "unix", folder+"/.s.PGSQL."+port
	}
	pool := sql.OpenDB(pgdriver.NewConnector(
		pgdriver.WithNetwork(network), pgdriver.WithAddr(address), pgdriver.WithInsecure(true),
		pgdriver.WithUser(s.databaseURL.User.Username()), pgdriver.WithPassword(password),
		pgdriver.WithDatabase(strings.TrimPrefix(s.databaseURL.Path, "/")),
	))
	pool.SetMaxOpenConns(s.poolSize)
	pool.SetMaxIdleConns(s.poolSize)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connections := make([]*sql.Conn, s.poolSize)
	for i := range connections {
		connection, err := pool.Conn(ctx)
		if err != nil {
			return nil, err
		}
		connections[i] = connection
	}
	for _, connection := range connections {
		if err := connection.Close(); err != nil {
			return nil, err
		}
	}
	return bun.NewDB(pool, pgdialect.New()), nil
}

func byPhoneID(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("phone_id") }
func byEmailID(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("email_id") }

func selectPage(db bun.IDB, model any, p page) *bun.SelectQuery {
	query := db.NewSelect().Model(model).Relation("Type").
		OrderExpr("c.contact_id").Limit(int(p.limit)).Offset(int(p.offset))
	if p.starts != "" {
		query = query.Where("lower(c.last_name) LIKE lower(?)", p.like())
	}
	return query
}

// fetchContacts has bun do it all: the page with its types, the phones, the emails.
func fetchContacts(ctx context.Context, db *bun.DB, p page) ([]*contact, error) {
	found := []*contact{}
	err := selectPage(db, &found, p).Relation("Phones", byPhoneID).Relation("Emails", byEmailID).Scan(ctx)
	return found, err
}

// iterateContacts scans the page's rows one by one. Phones and emails follow on the same connection.
func iterateContacts(ctx context.Context, db *bun.DB, p page) ([]*contact, error) {
	connection, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	rows, err := selectPage(connection, (*contact)(nil), p).Rows(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []*contact{}
	for rows.Next() {
		one := new(contact)
		if err := db.ScanRow(ctx, rows, one); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return found, attach(ctx, connection, found)
}

func attach(ctx context.Context, db bun.IDB, contacts []*contact) error {
	ids := make([]int32, len(contacts))
	byID := make(map[int32]*contact, len(contacts))
	for i, c := range contacts {
		ids[i], byID[c.ContactID] = c.ContactID, c
	}
	var phones []*phone
	if err := db.NewSelect().Model(&phones).Where("contact_id IN (?)", bun.In(ids)).Order("phone_id").Scan(ctx); err != nil {
		return err
	}
	var emails []*email
	if err := db.NewSelect().Model(&emails).Where("contact_id IN (?)", bun.In(ids)).Order("email_id").Scan(ctx); err != nil {
		return err
	}
	for _, p := range phones {
		byID[p.ContactID].Phones = append(byID[p.ContactID].Phones, p)
	}
	for _, e := range emails {
		byID[e.ContactID].Emails = append(byID[e.ContactID].Emails, e)
	}
	return nil
}

func findContact(ctx context.Context, db *bun.DB, id int32) (*contact, error) {
	found := new(contact)
	err := db.NewSelect().Model(found).Relation("Type").Relation("Phones", byPhoneID).Relation("Emails", byEmailID).
		Where("c.contact_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noContact(int64(id))
	}
	return found, err
}

// storeContact stores a contact with its phones and emails in one transaction.
func storeContact(ctx context.Context, db *bun.DB, n newContact) (int32, error) {
	stored := &contact{FirstName: *n.FirstName, LastName: *n.LastName, TypeID: *n.TypeID}
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(stored).Returning("contact_id").Exec(ctx); err != nil {
			return err
		}
		var phones []*phone
		for _, number := range n.Phones {
			phones = append(phones, &phone{PhoneNumber: number, ContactID: stored.ContactID})
		}
		if len(phones) > 0 {
			if _, err := tx.NewInsert().Model(&phones).Exec(ctx); err != nil {
				return err
			}
		}
		var emails []*email
		for _, address := range n.Emails {
			emails = append(emails, &email{EmailAddress: address, ContactID: stored.ContactID})
		}
		if len(emails) > 0 {
			if _, err := tx.NewInsert().Model(&emails).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	var refusal pgdriver.Error
	if errors.As(err, &refusal) && refusal.Field('C') == "23503" { // foreign_key_violation
		return 0, invalid("no contact type %d", *n.TypeID)
	}
	return stored.ContactID, err
}
