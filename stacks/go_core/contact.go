package core

// ContactType is a contact type as the contract has it.
type ContactType struct {
	TypeID   int32  `json:"type_id"`
	TypeName string `json:"type_name"`
}

// Contact is a contact as the contract has it. Its lists must not be nil: JSON would say null.
type Contact struct {
	ContactID   int32       `json:"contact_id"`
	FirstName   string      `json:"first_name"`
	LastName    string      `json:"last_name"`
	ContactType ContactType `json:"contact_type"`
	Phones      []string    `json:"phones"`
	Emails      []string    `json:"emails"`
}
