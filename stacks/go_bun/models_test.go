package main

import (
	"encoding/json"
	"testing"
)

func TestContactWithoutPhonesHasEmptyLists(t *testing.T) {
	got, err := json.Marshal(asJSON(&contact{ContactID: 7, FirstName: "A", LastName: "B", Type: &contactType{TypeID: 2, TypeName: "Friends"}}))
	want := `{"contact_id":7,"first_name":"A","last_name":"B","contact_type":{"type_id":2,"type_name":"Friends"},"phones":[],"emails":[]}`
	if err != nil || string(got) != want {
		t.Error(string(got), err)
	}
}
