//! What the operator's API can do. Requests are matched by this table, and its description is held to it.

use http::Method;

/// One operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Description,
    Holder,
    Subscriptions,
    Subscription,
    Keys,
    MakeKey,
    RotateKey,
    RevokeKey,
    Usage,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// An operation, and the id in the path.
    For(Operation, &'a str),
    /// The path is known with other methods.
    Otherwise(Vec<&'static str>),
    /// Nothing that is there.
    Nothing,
}

/// Method and path of each.
pub(super) const OPERATIONS: [(Operation, &str, &str); 9] = [
    (Operation::Description, "GET", "/api/v1/openapi.json"),
    (Operation::Holder, "GET", "/api/v1/holders/{id}"),
    (Operation::Subscriptions, "GET", "/api/v1/subscriptions"),
    (Operation::Subscription, "GET", "/api/v1/subscriptions/{id}"),
    (Operation::Keys, "GET", "/api/v1/keys"),
    (Operation::MakeKey, "POST", "/api/v1/keys"),
    (Operation::RotateKey, "POST", "/api/v1/keys/{id}/rotate"),
    (Operation::RevokeKey, "DELETE", "/api/v1/keys/{id}"),
    (Operation::Usage, "GET", "/api/v1/usage"),
];

/// What a method and path ask for.
pub(super) fn asked<'a>(method: &Method, path: &'a str) -> Asked<'a> {
    let mut otherwise = Vec::new();
    for (operation, name, pattern) in OPERATIONS {
        match id(pattern, path) {
            Some(id) if name == method.as_str() => return Asked::For(operation, id),
            Some(_) => otherwise.push(name),
            None => {}
        }
    }
    if otherwise.is_empty() { Asked::Nothing } else { Asked::Otherwise(otherwise) }
}

/// The id in a path, empty if its pattern has none. None if the path is not of the pattern.
fn id<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{id}") else { return (pattern == path).then_some("") };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_request_is_matched_by_method_and_path() {
        for (method, path, asked_for) in [
            (Method::GET, "/api/v1/keys", Asked::For(Operation::Keys, "")),
            (Method::POST, "/api/v1/keys/key_1/rotate", Asked::For(Operation::RotateKey, "key_1")),
            (Method::DELETE, "/api/v1/keys/key_1", Asked::For(Operation::RevokeKey, "key_1")),
            (Method::GET, "/api/v1/holders/bob@example.com", Asked::For(Operation::Holder, "bob@example.com")),
            (Method::PUT, "/api/v1/keys", Asked::Otherwise(vec!["GET", "POST"])),
            (Method::GET, "/api/v1/keys/key_1/rotate", Asked::Otherwise(vec!["POST"])),
            (Method::GET, "/api/v1/keys/", Asked::Nothing),
            (Method::POST, "/api/v1/keys//rotate", Asked::Nothing),
            (Method::GET, "/api/v1/holders/a/b", Asked::Nothing),
            (Method::GET, "/api/v1", Asked::Nothing),
        ] {
            assert_eq!(asked(&method, path), asked_for, "{method} {path}");
        }
    }

    #[test]
    fn the_description_has_what_is_served_and_nothing_else() {
        let description: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            let names = methods.as_object().unwrap().keys().filter(|name| *name != "parameters");
            described.extend(names.map(|method| (method.to_uppercase(), path.clone())));
        }
        let served = OPERATIONS.map(|(_, method, path)| (method.to_owned(), path.to_owned()));
        assert_eq!(described, BTreeSet::from(served));
        assert_eq!(description["openapi"], "3.1.0");
    }
}
