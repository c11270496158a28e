package main

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strconv"

	"dyno/core"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

func byPhoneID(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("phone_id") }
func byEmailID(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("email_id") }

func selectPage(db bun.IDB, model any, p core.Page) *bun.SelectQuery {
	// bun keeps offsets in 32 bits and would wrap. contact_id has 32 bits too: nobody is further off than this.
	offset := min(p.Offset, math.MaxInt32)
	query := db.NewSelect().Model(model).Relation("Type").
		OrderExpr("c.contact_id").Limit(int(p.Limit)).Offset(int(offset))
	if p.Starts != "" {
		query = query.Where("lower(c.last_name) LIKE lower(?)", p.Like())
	}
	return query
}

// fetchContacts has bun do it all: the page with its types, the phones, the emails.
func fetchContacts(ctx context.Context, db bun.Conn, p core.Page) ([]*contact, error) {
	found := []*contact{}
	err := selectPage(db, &found, p).Relation("Phones", byPhoneID).Relation("Emails", byEmailID).Scan(ctx)
	return found, err
}

// iterateContacts scans the page's rows one by one. Phones and emails follow on the same connection.
func iterateContacts(ctx context.Context, db bun.Conn, p core.Page) ([]*contact, error) {
	query := selectPage(db, (*contact)(nil), p)
	rows, err := query.Rows(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []*contact{}
	for rows.Next() {
		one := new(contact)
		if err := query.DB().ScanRow(ctx, rows, one); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return found, attach(ctx, db, found)
}

func attach(ctx context.Context, db bun.IDB, contacts []*contact) error {
	ids := make([]int32, len(contacts))
	byID := make(map[int32]*contact, len(contacts))
	for i, c := range contacts {
		ids[i], byID[c.ContactID] = c.ContactID, c
	}
	var phones []*phone
	if err := db.NewSelect().Model(&phones).Where("contact_id IN (?)", bun.List(ids)).Order("phone_id").Scan(ctx); err != nil {
		return err
	}
	var emails []*email
	if err := db.NewSelect().Model(&emails).Where("contact_id IN (?)", bun.List(ids)).Order("email_id").Scan(ctx); err != nil {
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

func findContact(ctx context.Context, db bun.IDB, id int32) (*contact, error) {
	found := new(contact)
	err := db.NewSelect().Model(found).Relation("Type").Relation("Phones", byPhoneID).Relation("Emails", byEmailID).
		Where("c.contact_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, core.NoContact(strconv.Itoa(int(id)))
	}
	return found, err
}

// storeContact stores a contact with its phones and emails and reads it back, all in one transaction.
func storeContact(ctx context.Context, db *bun.DB, n core.NewContact) (*contact, error) {
	var stored *contact
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		id, err := insertContact(ctx, tx, n)
		if err != nil {
			return err
		}
		stored, err = findContact(ctx, tx, id)
		return err
	})
	var refusal pgdriver.Error
	if errors.As(err, &refusal) && refusal.Field('C') == "23503" { // foreign_key_violation
		return nil, core.Invalid("no contact type %d", n.TypeID)
	}
	return stored, err
}

func insertContact(ctx context.Context, tx bun.Tx, n core.NewContact) (int32, error) {
	added := &contact{FirstName: n.FirstName, LastName: n.LastName, TypeID: n.TypeID}
	if _, err := tx.NewInsert().Model(added).Returning("contact_id").Exec(ctx); err != nil {
		return 0, err
	}
	phones := make([]*phone, len(n.Phones))
	for i, number := range n.Phones {
		phones[i] = &phone{PhoneNumber: number, ContactID: added.ContactID}
	}
	if len(phones) > 0 {
		if _, err := tx.NewInsert().Model(&phones).Exec(ctx); err != nil {
			return 0, err
		}
	}
	emails := make([]*email, len(n.Emails))
	for i, address := range n.Emails {
		emails[i] = &email{EmailAddress: address, ContactID: added.ContactID}
	}
	if len(emails) > 0 {
		if _, err := tx.NewInsert().Model(&emails).Exec(ctx); err != nil {
			return 0, err
		}
	}
	return added.ContactID, nil
}
