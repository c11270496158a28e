//! An app's own OpenAPI document against the contract's: where the two say different things. Pure; what an app answers
//! is proven by the cases, so a difference is worth knowing and no failure, but for an operation that isn't there.

mod normal;

use std::collections::BTreeMap;

use serde_json::Value;

use self::normal::{Described, Response, operations};
use crate::difference::shorten;

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Where the documents differ.
    pub differences: Vec<Differs>,
    /// Operations of the contract that the app's document doesn't have.
    pub missing: Vec<Missing>,
}

/// One place where the documents differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Method and path as the contract writes them.
    pub operation: String,
    /// Where in the operation, for instance `query limit maximum` or `response 200 application/json $[].phones`.
    pub part: String,
    /// What the contract says there.
    pub contract: String,
    /// What the app says there.
    pub app: String,
}

/// An operation of the contract that the app's document doesn't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Method and path as the contract writes them.
    pub operation: String,
    /// The contract's `operationId`.
    pub id: String,
}

const NOTHING: &str = "nothing";
/// What a schema says about one value, in the order of the table.
const KEYWORDS: [&str; 15] = [
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "not",
];

/// Compares an app's document with the contract's.
pub fn compare(contract: &Value, app: &Value) -> Comparison {
    let (ours, theirs) = (operations(contract), operations(app));
    let mut found = Comparison::default();
    for (key, our) in &ours {
        match theirs.get(key) {
            Some(their) => {
                let mut table = Table { operation: &our.title, differences: &mut found.differences };
                table.operation(our, their);
            }
            None => found.missing.push(Missing { operation: our.title.clone(), id: our.id.clone() }),
        }
    }
    for (_, their) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
        let mut table = Table { operation: &their.title, differences: &mut found.differences };
        table.add("operation", NOTHING, "declared");
    }
    found
}

struct Table<'a> {
    operation: &'a str,
    differences: &'a mut Vec<Differs>,
}

impl Table<'_> {
    fn add(&mut self, part: impl Into<String>, contract: impl Into<String>, app: impl Into<String>) {
        self.differences.push(Differs {
            operation: self.operation.to_owned(),
            part: part.into(),
            contract: contract.into(),
            app: app.into(),
        });
    }

    fn operation(&mut self, our: &Described, their: &Described) {
        for (place, ours, theirs) in both(&our.parameters, &their.parameters) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => {
                    self.required(place, ours.required, theirs.required);
                    self.schema(place, &ours.schema, &theirs.schema);
                }
                (ours, theirs) => self.add(
                    place,
                    ours.map_or_else(|| NOTHING.to_owned(), |one| words(&one.schema)),
                    theirs.map_or_else(|| NOTHING.to_owned(), |one| words(&one.schema)),
                ),
            }
        }
        match (&our.body, &their.body) {
            (Some(ours), Some(theirs)) => {
                self.required("body", ours.required, theirs.required);
                self.content("body", &ours.content, &theirs.content);
            }
            (None, None) => {}
            (Some(_), None) => self.add("body", "declared", NOTHING),
            (None, Some(_)) => self.add("body", NOTHING, "declared"),
        }
        for (status, ours, theirs) in both(&our.responses, &their.responses) {
            let part = format!("response {status}");
            match (ours, theirs) {
                (Some(Response { by_server: true, .. }), _) => {}
                (Some(ours), Some(theirs)) => self.content(&part, &ours.content, &theirs.content),
                (Some(_), None) => self.add(part, "declared", NOTHING),
                (None, _) => self.add(part, NOTHING, "declared"),
            }
        }
    }

    fn required(&mut self, part: &str, ours: bool, theirs: bool) {
        let words = |required: bool| if required { "required" } else { "optional" };
        if ours != theirs {
            self.add(part, words(ours), words(theirs));
        }
    }

    fn content(&mut self, part: &str, ours: &BTreeMap<String, Value>, theirs: &BTreeMap<String, Value>) {
        for (media_type, ours, theirs) in both(ours, theirs) {
            let place = format!("{part} {media_type}");
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => self.schema(&format!("{place} $"), ours, theirs),
                (Some(ours), None) => self.add(place, words(ours), NOTHING),
                (None, theirs) => self.add(place, NOTHING, theirs.map_or_else(String::new, words)),
            }
        }
    }

    /// Two schemas in normal form. Where the contract admits anything, whatever the app says is right.
    fn schema(&mut self, part: &str, ours: &Value, theirs: &Value) {
        if says_nothing(ours) || ours == theirs {
            return;
        }
        if says_nothing(theirs) || ours.get("type") != theirs.get("type") {
            return self.add(part, words(ours), words(theirs));
        }
        for keyword in KEYWORDS {
            let (our, their) = (ours.get(keyword), theirs.get(keyword));
            if our != their {
                let words = |value: Option<&Value>| value.map_or_else(|| NOTHING.to_owned(), plain);
                self.add(format!("{part} {keyword}"), words(our), words(their));
            }
        }
        if let (Some(our), Some(their)) = (ours.get("default"), theirs.get("default"))
            && our != their
        {
            self.add(format!("{part} default"), plain(our), plain(their));
        }
        self.properties(part, ours, theirs);
        self.nested(&format!("{part}[]"), ours.get("items"), theirs.get("items"));
        let (our, their) = (ours.get("additionalProperties"), theirs.get("additionalProperties"));
        self.nested(&format!("{part}.*"), our, their);
    }

    fn properties(&mut self, part: &str, ours: &Value, theirs: &Value) {
        let (our_names, their_names) = (properties_of(ours), properties_of(theirs));
        for (name, our, their) in both(&our_names, &their_names) {
            let place = format!("{part}.{name}");
            match (our, their) {
                (Some((our_required, our)), Some((their_required, their))) => {
                    self.required(&place, *our_required, *their_required);
                    self.schema(&place, our, their);
                }
                (Some((_, our)), None) => self.add(place, words(our), NOTHING),
                (None, their) => {
                    self.add(place, NOTHING, their.map_or_else(String::new, |(_, their)| words(their)));
                }
            }
        }
    }

    fn nested(&mut self, part: &str, ours: Option<&Value>, theirs: Option<&Value>) {
        let anything = Value::Object(serde_json::Map::new());
        match (ours, theirs) {
            (None, None) => {}
            (None, Some(theirs)) => self.add(part, "anything", words(theirs)),
            (Some(ours), theirs) => self.schema(part, ours, theirs.unwrap_or(&anything)),
        }
    }
}

/// Every key of either map with what each has there.
fn both<'a, V>(
    ours: &'a BTreeMap<String, V>,
    theirs: &'a BTreeMap<String, V>,
) -> Vec<(&'a str, Option<&'a V>, Option<&'a V>)> {
    let only_theirs = theirs.keys().filter(|key| !ours.contains_key(*key));
    ours.keys().chain(only_theirs).map(|key| (key.as_str(), ours.get(key), theirs.get(key))).collect()
}

/// The properties of an object by name, with whether each must be there.
fn properties_of(schema: &Value) -> BTreeMap<String, (bool, &Value)> {
    let required = schema.get("required").and_then(Value::as_array);
    let must = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, one)| (name.clone(), (must(name), one))).collect()
}

fn says_nothing(schema: &Value) -> bool {
    schema.as_object().is_some_and(|keywords| keywords.keys().all(|keyword| keyword == "default"))
}

/// A schema in a few words.
fn words(schema: &Value) -> String {
    if says_nothing(schema) {
        return "anything".to_owned();
    }
    let Some(types) = schema.get("type").and_then(Value::as_array) else {
        return shorten(&schema.to_string());
    };
    let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
    let types = types.join(" or ");
    match schema.get("items") {
        Some(items) => format!("{types} of {}", words(items)),
        None => types,
    }
}

fn plain(value: &Value) -> String {
    shorten(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(version: &str, operation: Value, components: Value) -> Value {
        json!({"openapi": version, "paths": {"/things/{id}": {"get": operation}}, "components": components})
    }

    fn schema_of(version: &str, schema: Value, components: Value) -> Value {
        let responses = json!({"200": {"content": {"application/json": {"schema": schema}}}});
        document(version, json!({"responses": responses}), components)
    }

    fn differences(ours: Value, theirs: Value) -> Vec<String> {
        let components =
            json!({"schemas": {"Thing": {"type": "object", "properties": {"a": {"type": "string"}}}}});
        let ours = schema_of("3.1.0", ours, components.clone());
        let theirs = schema_of("3.0.3", theirs, components);
        let found = compare(&ours, &theirs);
        assert_eq!(found.missing, []);
        let words = |one: Differs| format!("{}: {} / {}", one.part, one.contract, one.app);
        found.differences.into_iter().map(words).collect()
    }

    #[test]
    fn the_same_in_other_words_is_no_difference() {
        for (ours, theirs) in [
            (json!({"type": ["integer", "null"]}), json!({"type": "integer", "nullable": true})),
            (json!({"type": ["null", "integer"]}), json!({"anyOf": [{"type": "integer"}, {"type": "null"}]})),
            (json!({"type": "integer", "minimum": 1}), json!({"type": "integer", "exclusiveMinimum": 0.0})),
            (
                json!({"type": "integer", "maximum": 9}),
                json!({"type": "integer", "maximum": 10, "exclusiveMaximum": true}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}}),
                json!({"$ref": "#/components/schemas/Thing"}),
            ),
            (
                json!({"$ref": "#/components/schemas/Thing"}),
                json!({"allOf": [{"$ref": "#/components/schemas/Thing"}], "title": "T"}),
            ),
            (json!({"const": "x"}), json!({"type": "string", "enum": ["x"]})),
            (json!({}), json!({"type": "array"})),
            (
                json!({"type": "string"}),
                json!({"type": "string", "default": "", "format": "x", "examples": ["y"]}),
            ),
            (json!({"type": "object"}), json!({"type": "object", "additionalProperties": true})),
        ] {
            assert_eq!(differences(ours.clone(), theirs.clone()), [""; 0], "{ours} {theirs}");
        }
    }

    #[test]
    fn differences_say_where_and_what_each_says() {
        let at = |rest: &str| format!("response 200 application/json $.{rest}");
        let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required});
        let ours = object(
            json!({"a": {"type": "string", "maxLength": 3, "default": "x"}, "b": {"type": "array", "items": {"type": "integer"}}, "c": {}, "d": {"type": "null"}}),
            json!(["a", "c"]),
        );
        let theirs = object(
            json!({"a": {"type": "string", "default": "y"}, "b": {"type": "array", "items": {"type": "string"}}, "c": {"type": "string"}, "e": {}}),
            json!(["b", "c"]),
        );
        let expected = [
            at("a: required / optional"),
            at("a maxLength: 3 / nothing"),
            at("a default: x / y"),
            at("b: optional / required"),
            at("b[]: integer / string"),
            at("d: null / nothing"),
            at("e: nothing / anything"),
        ];
        assert_eq!(differences(ours, theirs), expected);
        let anything = differences(json!({"type": "array", "items": {"type": "string"}}), json!({}));
        assert_eq!(anything, ["response 200 application/json $: array of string / anything"]);
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let components = json!({"schemas": {"Tree": {"type": "object", "properties": {"more": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}}}});
        let tree = schema_of("3.1.0", json!({"$ref": "#/components/schemas/Tree"}), components);
        assert_eq!(compare(&tree, &tree), Comparison::default());
        let nowhere = schema_of("3.1.0", json!({"$ref": "#/components/schemas/None"}), json!({}));
        assert_eq!(compare(&tree, &nowhere).differences.len(), 1);
    }

    #[test]
    fn operations_parameters_bodies_and_responses_are_compared() {
        let ours = document(
            "3.1.0",
            json!({
                "operationId": "thing",
                "parameters": [
                    {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 200}},
                ],
                "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object"}}}},
                "responses": {
                    "200": {"content": {"text/html; charset=utf-8": {"schema": {"type": "string"}}}},
                    "404": {"content": {}},
                    "414": {"x-dyno-by": "server"},
                },
            }),
            json!({}),
        );
        let theirs = json!({"openapi": "3.0.3", "paths": {
            "/things/{thing_id}": {
                "parameters": [{"name": "thing_id", "in": "path", "required": true, "schema": {"type": "integer"}}],
                "get": {
                    "parameters": [{"name": "limit", "in": "query", "required": true, "schema": {"type": "integer", "maximum": 99}}],
                    "responses": {"200": {"content": {"text/html": {"schema": {"type": "string"}}}}, "422": {}},
                },
            },
            "/more": {"post": {"responses": {}}},
        }});
        let found = compare(&ours, &theirs);
        let text: Vec<String> = found
            .differences
            .iter()
            .map(|one| format!("{} | {} | {} | {}", one.operation, one.part, one.contract, one.app))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
        assert_eq!(found.missing, []);
        let none = compare(&ours, &json!({"openapi": "3.1.0"}));
        let missing = Missing { operation: "GET /things/{id}".to_owned(), id: "thing".to_owned() };
        assert_eq!((none.differences, none.missing), (vec![], vec![missing]));
    }
}
