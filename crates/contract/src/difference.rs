//! The first difference of two JSON values, as a person would say it.

use serde_json::Value;

/// Where and how `got` differs from `expected`; `None` when they are equal (key order is free).
pub fn difference(expected: &Value, got: &Value) -> Option<String> {
    find("$", expected, got)
}

fn find(path: &str, expected: &Value, got: &Value) -> Option<String> {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let path = format!("{path}.{key}");
                match b.get(key) {
                    None => return Some(format!("{path} is missing")),
                    Some(other) => {
                        if let Some(found) = find(&path, value, other) {
                            return Some(found);
                        }
                    }
                }
            }
            b.keys().find(|key| !a.contains_key(*key)).map(|key| format!("{path}.{key} is too much"))
        }
        (Value::Array(a), Value::Array(b)) => {
            let inside =
                a.iter().zip(b).enumerate().find_map(|(i, (a, b))| find(&format!("{path}[{i}]"), a, b));
            inside.or_else(|| {
                (a.len() != b.len())
                    .then(|| format!("{path} has {} elements instead of {}", b.len(), a.len()))
            })
        }
        _ => (expected != got).then(|| format!("{path} is {} instead of {}", short(got), short(expected))),
    }
}

/// A value in at most 80 characters.
pub fn short(value: &Value) -> String {
    shorten(&value.to_string())
}

/// A text in at most 80 characters.
pub fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_where_and_how() {
        let expected = json!([{"a": 1, "b": ["x"]}]);
        assert_eq!(difference(&expected, &json!([{"b": ["x"], "a": 1}])), None);
        for (got, words) in [
            (json!([{"a": 2, "b": ["x"]}]), "$[0].a is 2 instead of 1"),
            (json!([{"a": 1, "b": []}]), "$[0].b has 0 elements instead of 1"),
            (json!([{"a": 1}]), "$[0].b is missing"),
            (json!([{"a": 1, "b": ["x"], "c": 0}]), "$[0].c is too much"),
            (json!({}), "$ is {} instead of [{\"a\":1,\"b\":[\"x\"]}]"),
        ] {
            assert_eq!(difference(&expected, &got).as_deref(), Some(words));
        }
    }
}
