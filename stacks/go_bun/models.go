package main

import (
	"dyno/core"
	"github.com/uptrace/bun"
)

type contactType struct {
	bun.BaseModel `bun:"table:contact_types,alias:t" json:"-"`
	TypeID        int32  `bun:"type_id,pk" json:"type_id"`
	TypeName      string `bun:"type_name" json:"type_name"`
}

type phone struct {
	bun.BaseModel `bun:"table:contact_phones,alias:p"`
	PhoneID       int32  `bun:"phone_id,pk,autoincrement"`
	PhoneNumber   string `bun:"phone_number"`
	ContactID     int32  `bun:"contact_id"`
}

type email struct {
	bun.BaseModel `bun:"table:contact_emails,alias:e"`
	EmailID       int32  `bun:"email_id,pk,autoincrement"`
	EmailAddress  string `bun:"email_address"`
	ContactID     int32  `bun:"contact_id"`
}

type contact struct {
	bun.BaseModel `bun:"table:contacts,alias:c"`
	ContactID     int32        `bun:"contact_id,pk,autoincrement"`
	FirstName     string       `bun:"first_name"`
	LastName      string       `bun:"last_name"`
	TypeID        int32        `bun:"type_id"`
	Type          *contactType `bun:"rel:belongs-to,join:type_id=type_id"`
	Phones        []*phone     `bun:"rel:has-many,join:contact_id=contact_id"`
	Emails        []*email     `bun:"rel:has-many,join:contact_id=contact_id"`
}

func asJSON(c *contact) core.Contact {
	result := core.Contact{
		ContactID: c.ContactID, FirstName: c.FirstName, LastName: c.LastName, ContactType: core.ContactType{TypeID: c.Type.TypeID, TypeName: c.Type.TypeName},
		Phones: make([]string, len(c.Phones)), Emails: make([]string, len(c.Emails)),
	}
	for i, p := range c.Phones {
		result.Phones[i] = p.PhoneNumber
	}
	for i, e := range c.Emails {
		result.Emails[i] = e.EmailAddress
	}
	return result
}

func allAsJSON(contacts []*contact) []core.Contact {
	result := make([]core.Contact, len(contacts))
	for i, c := range contacts {
		result[i] = asJSON(c)
	}
	return result
}
