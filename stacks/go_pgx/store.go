package main

import (
	"context"
	"errors"
	"strconv"

	"dyno/core"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	selectContact = `select c.contact_id, c.first_name, c.last_name, t.type_id, t.type_name
		from contacts c join contact_types t using (type_id) `
	selectPage   = selectContact + "where lower(c.last_name) like lower($1) order by c.contact_id limit $2 offset $3"
	selectAll    = selectContact + "order by c.contact_id limit $1 offset $2"
	selectOne    = selectContact + "where c.contact_id = $1"
	selectPhones = "select contact_id, phone_number from contact_phones where contact_id = any($1) order by phone_id"
	selectEmails = "select contact_id, email_address from contact_emails where contact_id = any($1) order by email_id"
	selectTypes  = "select type_id, type_name from contact_types order by type_id"
	insert       = "insert into contacts (first_name, last_name, type_id) values ($1, $2, $3) returning contact_id"
	insertPhone  = "insert into contact_phones (contact_id, phone_number) values ($1, $2)"
	insertEmail  = "insert into contact_emails (contact_id, email_address) values ($1, $2)"
)

// querier is a connection of the pool, or a transaction on one.
type querier interface {
	Query(ctx context.Context, statement string, arguments ...any) (pgx.Rows, error)
}

func loadTypes(ctx context.Context, pool *pgxpool.Pool) ([]core.ContactType, error) {
	rows, err := pool.Query(ctx, selectTypes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[core.ContactType])
}

func queryPage(ctx context.Context, db querier, page core.Page) (pgx.Rows, error) {
	if page.Starts == "" {
		return db.Query(ctx, selectAll, page.Limit, page.Offset)
	}
	return db.Query(ctx, selectPage, page.Like(), page.Limit, page.Offset)
}

// fetchContacts collects the page's rows at once.
func fetchContacts(ctx context.Context, connection *pgxpool.Conn, page core.Page) ([]*core.Contact, error) {
	rows, err := queryPage(ctx, connection, page)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanContact)
	if err != nil {
		return nil, err
	}
	return found, attach(ctx, connection, found)
}

// iterateContacts takes the page's rows one by one, as the portal gives them: pgx has no cursor besides.
func iterateContacts(ctx context.Context, connection *pgxpool.Conn, page core.Page) ([]*core.Contact, error) {
	rows, err := queryPage(ctx, connection, page)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []*core.Contact{}
	for rows.Next() {
		contact, err := scanContact(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, contact)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return found, attach(ctx, connection, found)
}

func scanContact(row pgx.CollectableRow) (*core.Contact, error) {
	c := core.Contact{Phones: []string{}, Emails: []string{}}
	err := row.Scan(&c.ContactID, &c.FirstName, &c.LastName, &c.ContactType.TypeID, &c.ContactType.TypeName)
	return &c, err
}

func attach(ctx context.Context, db querier, contacts []*core.Contact) error {
	ids := make([]int32, len(contacts))
	byID := make(map[int32]*core.Contact, len(contacts))
	for i, c := range contacts {
		ids[i], byID[c.ContactID] = c.ContactID, c
	}
	var id int32
	var text string
	rows, err := db.Query(ctx, selectPhones, ids)
	if err != nil {
		return err
	}
	if _, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		byID[id].Phones = append(byID[id].Phones, text)
		return nil
	}); err != nil {
		return err
	}
	if rows, err = db.Query(ctx, selectEmails, ids); err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		byID[id].Emails = append(byID[id].Emails, text)
		return nil
	})
	return err
}

func findContact(ctx context.Context, db querier, id int32) (*core.Contact, error) {
	rows, err := db.Query(ctx, selectOne, id)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanContact)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, core.NoContact(strconv.Itoa(int(id)))
	}
	if err != nil {
		return nil, err
	}
	return found, attach(ctx, db, []*core.Contact{found})
}

// storeContact stores a contact with its phones and emails and reads it back, all in one transaction.
func storeContact(ctx context.Context, pool *pgxpool.Pool, contact core.NewContact) (*core.Contact, error) {
	connection, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer connection.Release()
	// What has begun is brought to its end: a rollback that a client's hanging up cancels would close the connection.
	ctx = context.WithoutCancel(ctx)
	var stored *core.Contact
	err = pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
		id, err := insertContact(ctx, tx, contact)
		if err != nil {
			return err
		}
		stored, err = findContact(ctx, tx, id)
		return err
	})
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && refusal.Code == "23503" { // foreign_key_violation
		return nil, core.Invalid("no contact type %d", contact.TypeID)
	}
	return stored, err
}

func insertContact(ctx context.Context, tx pgx.Tx, contact core.NewContact) (int32, error) {
	var id int32
	err := tx.QueryRow(ctx, insert, contact.FirstName, contact.LastName, contact.TypeID).Scan(&id)
	if err != nil {
		return 0, err
	}
	var details pgx.Batch
	for _, number := range contact.Phones {
		details.Queue(insertPhone, id, number)
	}
	for _, address := range contact.Emails {
		details.Queue(insertEmail, id, address)
	}
	return id, tx.SendBatch(ctx, &details).Close()
}
