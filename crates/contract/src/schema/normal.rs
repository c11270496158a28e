//! OpenAPI documents in one form: references resolved, and what versions 3.0 and 3.1 write differently written alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Schemas this deep hold themselves; what is below isn't compared.
const DEEPEST: usize = 12;
/// Marks a response of the contract that comes from servers and frameworks, which no app documents.
const BY_SERVER: &str = "x-dyno-by";

/// What a document says of one operation.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Method and path as written.
    pub title: String,
    pub id: String,
    /// By place and name, `query limit`.
    pub parameters: BTreeMap<String, Parameter>,
    pub body: Option<Body>,
    /// By status.
    pub responses: BTreeMap<String, Response>,
}

#[derive(Clone, Debug)]
pub struct Parameter {
    pub required: bool,
    pub schema: Value,
}

#[derive(Clone, Debug)]
pub struct Body {
    pub required: bool,
    /// Schema by media type.
    pub content: BTreeMap<String, Value>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub by_server: bool,
    /// Schema by media type.
    pub content: BTreeMap<String, Value>,
}

/// The operations of a document by method and path, whatever the path's parameters are called.
pub fn operations(document: &Value) -> BTreeMap<String, Described> {
    let root = Root(document);
    let mut found = BTreeMap::new();
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        let item = root.resolve(item);
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                let method = method.to_uppercase();
                let title = format!("{method} {path}");
                let key = format!("{method} {}", without_names(path));
                found.insert(key, root.described(title, item, operation));
            }
        }
    }
    found
}

/// `/contacts/{contact_id}` as `/contacts/{}`.
fn without_names(path: &str) -> String {
    let named = |part: &str| part.starts_with('{') && part.ends_with('}');
    let parts: Vec<&str> = path.split('/').map(|part| if named(part) { "{}" } else { part }).collect();
    parts.join("/")
}

struct Root<'a>(&'a Value);

impl<'a> Root<'a> {
    /// Follows references within the document; one that leads nowhere is null.
    fn resolve(&self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..DEEPEST {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
            value = reference
                .strip_prefix('#')
                .and_then(|pointer| self.0.pointer(pointer))
                .unwrap_or(&Value::Null);
        }
        value
    }

    fn described(&self, title: String, item: &'a Value, operation: &'a Value) -> Described {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut described = Described { title, id, ..Described::default() };
        // Those of the operation come last, for they stand above those of the path.
        for parameter in [item, operation].iter().flat_map(|one| list(one, "parameters")) {
            let parameter = self.resolve(parameter);
            let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
            let place = format!("{} {}", text("in"), text("name"));
            let schema = self.schema(parameter.get("schema").unwrap_or(&Value::Null));
            described
                .parameters
                .insert(place, Parameter { required: is_true(parameter, "required"), schema });
        }
        if let Some(body) = operation.get("requestBody") {
            let body = self.resolve(body);
            described.body = Some(Body { required: is_true(body, "required"), content: self.content(body) });
        }
        for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten()
        {
            let response = self.resolve(response);
            let by_server = response.get(BY_SERVER).is_some();
            let content = self.content(response);
            described.responses.insert(status.clone(), Response { by_server, content });
        }
        described
    }

    /// Schemas by media type, its parameters (charset) left out.
    fn content(&self, holder: &'a Value) -> BTreeMap<String, Value> {
        let content = holder.get("content").and_then(Value::as_object).into_iter().flatten();
        content
            .map(|(media_type, one)| {
                let name = media_type.split(';').next().unwrap_or_default().trim().to_lowercase();
                (name, self.schema(one.get("schema").unwrap_or(&Value::Null)))
            })
            .collect()
    }

    fn schema(&self, schema: &'a Value) -> Value {
        Value::Object(self.keywords(schema, 0))
    }

    /// A schema in normal form: no references, no annotations, `type` a sorted list, integers with closed bounds.
    fn keywords(&self, schema: &'a Value, depth: usize) -> Map<String, Value> {
        let mut normal = Map::new();
        let schema = match schema {
            Value::Bool(false) => {
                normal.insert("not".to_owned(), json!({}));
                return normal;
            }
            schema => schema,
        };
        let Some(written) = schema.as_object() else { return normal };
        if depth > DEEPEST {
            return normal;
        }
        if written.contains_key("$ref") {
            normal = self.keywords(self.resolve(schema), depth + 1);
        }
        for part in list(schema, "allOf") {
            merge(&mut normal, self.keywords(part, depth + 1));
        }
        for (keyword, value) in written {
            match keyword.as_str() {
                "enum" | "multipleOf" | "minLength" | "maxLength" | "pattern" | "minItems" | "maxItems"
                | "minProperties" | "maxProperties" | "minimum" | "maximum" | "exclusiveMinimum"
                | "exclusiveMaximum" | "default" | "type" => {
                    normal.insert(keyword.clone(), number(value));
                }
                "const" => {
                    normal.insert("enum".to_owned(), json!([value]));
                }
                "items" | "not" => {
                    normal.insert(keyword.clone(), Value::Object(self.keywords(value, depth + 1)));
                }
                "additionalProperties" => {
                    let inner = self.keywords(value, depth + 1);
                    if !inner.is_empty() {
                        normal.insert(keyword.clone(), Value::Object(inner));
                    }
                }
                "properties" | "required" => {
                    let inner = self.object_part(keyword, value, depth);
                    merge(&mut normal, Map::from_iter([(keyword.clone(), inner)]));
                }
                _ => {}
            }
        }
        for either in ["anyOf", "oneOf"] {
            self.either(&mut normal, list(schema, either), depth);
        }
        types(&mut normal, is_true(schema, "nullable"));
        bounds(&mut normal);
        normal
    }

    fn object_part(&self, keyword: &str, value: &'a Value, depth: usize) -> Value {
        if keyword == "required" {
            let names: BTreeSet<&str> =
                value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            return json!(names);
        }
        let properties = value.as_object().into_iter().flatten();
        Value::Object(
            properties
                .map(|(name, one)| (name.clone(), Value::Object(self.keywords(one, depth + 1))))
                .collect(),
        )
    }

    /// One of several: `X or null` is X with null among its types.
    fn either(&self, normal: &mut Map<String, Value>, parts: &'a [Value], depth: usize) {
        if parts.is_empty() {
            return;
        }
        let null = json!({"type": ["null"]});
        let parts = parts.iter().map(|part| Value::Object(self.keywords(part, depth + 1)));
        let (nulls, mut others): (Vec<Value>, Vec<Value>) = parts.partition(|part| *part == null);
        if let [Value::Object(one)] = others.as_slice() {
            merge(normal, one.clone());
            if !nulls.is_empty() {
                types(normal, true);
            }
            return;
        }
        others.extend(nulls);
        others.sort_by_key(Value::to_string);
        normal.insert("anyOf".to_owned(), Value::Array(others));
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_true(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool) == Some(true)
}

/// Adds the keywords of `more`; properties and what is required of both are kept.
fn merge(normal: &mut Map<String, Value>, more: Map<String, Value>) {
    for (keyword, value) in more {
        match (normal.get_mut(&keyword), value) {
            (Some(Value::Object(old)), Value::Object(new)) if keyword == "properties" => old.extend(new),
            (Some(Value::Array(old)), Value::Array(new)) if keyword == "required" => {
                old.extend(new);
                old.sort_by_key(Value::to_string);
                old.dedup();
            }
            (_, value) => {
                normal.insert(keyword, value);
            }
        }
    }
}

/// 2147483647.0 as 2147483647.
fn number(value: &Value) -> Value {
    /// Beyond it a float doesn't hold every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.as_f64() {
        Some(float) if value.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => json!(float as i64),
        _ => value.clone(),
    }
}

/// `type` as a sorted list, told by the values where only they are written.
fn types(normal: &mut Map<String, Value>, nullable: bool) {
    let mut names: BTreeSet<String> = match normal.get("type") {
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => normal
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|value| {
                match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(number) if number.is_f64() => "number",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                }
                .to_owned()
            })
            .collect(),
    };
    if nullable && !names.is_empty() {
        names.insert("null".to_owned());
    }
    if !names.is_empty() {
        normal.insert("type".to_owned(), json!(names));
    }
}

/// Bounds of integers are closed; those of 3.0, where `exclusiveMinimum` is true or false, become those of 3.1.
fn bounds(normal: &mut Map<String, Value>) {
    let integer = normal
        .get("type")
        .and_then(Value::as_array)
        .is_some_and(|types| types.iter().all(|one| one == "integer" || one == "null"));
    for (open, closed, inwards) in [("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)] {
        let bound = match normal.remove(open) {
            None | Some(Value::Bool(false)) => continue,
            Some(Value::Bool(true)) => normal.remove(closed),
            bound => bound,
        };
        let Some(bound) = bound else { continue };
        match bound.as_i64() {
            Some(bound) if integer => {
                normal.insert(closed.to_owned(), json!(bound.saturating_add(inwards)));
            }
            _ => {
                normal.insert(open.to_owned(), bound);
            }
        }
    }
}
