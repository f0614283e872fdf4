//! In what two sides differ.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Calls `found` with the name and both values of every setting that two sides hold differently; one that a side does
/// not have is null there.
pub fn of(a: &Value, b: &Value, found: &mut dyn FnMut(&str, &Value, &Value)) {
    walk("", a, b, found);
}

fn walk(name: &str, a: &Value, b: &Value, found: &mut dyn FnMut(&str, &Value, &Value)) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let side = |side: &Map<String, Value>| side.get(key).cloned().unwrap_or_default();
                walk(&name, &side(a), &side(b), found);
            }
        }
        _ if a != b => found(name, a, b),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_either_side_alone_are_named_too() {
        let mut names = Vec::new();
        let (a, b) = (json!({ "x": { "p": 1, "q": 2 }, "y": 0 }), json!({ "x": { "p": 3, "r": 2 }, "y": 0 }));
        of(&a, &b, &mut |name, a, b| names.push(format!("{name} {a} {b}")));
        assert_eq!(names, ["x.p 1 3", "x.q 2 null", "x.r null 2"]);
    }
}
