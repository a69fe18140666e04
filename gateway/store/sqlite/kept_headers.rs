//! The headers of a stored response as text: what is text stays so, and is a list of bytes only if it is none.

use serde::{Deserialize, Serialize};

use super::rows::{from_json, to_json};
use crate::store::StoreError;

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Text(String),
    /// Also what was written when all of them were.
    Bytes(Vec<u8>),
}

pub(super) fn write(headers: &[(String, Vec<u8>)]) -> Result<String, StoreError> {
    let written =
        headers.iter().map(|(name, value)| (name, str::from_utf8(value).map_or(Written::Bytes(value), Written::Text)));
    to_json(&written.collect::<Vec<_>>())
}

pub(super) fn read(text: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let read: Vec<(String, Read)> = from_json(text)?;
    let bytes = |value| match value {
        Read::Text(text) => text.into_bytes(),
        Read::Bytes(bytes) => bytes,
    };
    Ok(read.into_iter().map(|(name, value)| (name, bytes(value))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(headers: Vec<(String, Vec<u8>)>) {
            prop_assert_eq!(read(&write(&headers).unwrap()).unwrap(), headers);
        }
    }

    #[test]
    fn text_is_text() {
        let headers = [("content-type", "text/plain"), ("x-a", "a \"b\" \u{e9}")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(write(&headers).unwrap(), r#"[["content-type","text/plain"],["x-a","a \"b\" é"]]"#);
    }

    #[test]
    fn lists_of_bytes_are_read_as_they_were_written_before() {
        let headers = vec![("x-a".to_owned(), b"1".to_vec()), ("x-b".to_owned(), vec![0xff, 0])];
        assert_eq!(read(r#"[["x-a",[49]],["x-b",[255,0]]]"#).unwrap(), headers);
        for bad in ["", "[]]", r#"[["x-a",[256]]]"#, r#"[["x-a"]]"#, r#"[["x-a",null]]"#, r#"{"x-a":"1"}"#] {
            assert!(matches!(read(bad), Err(StoreError::Corrupt(_))), "{bad}");
        }
    }
}
