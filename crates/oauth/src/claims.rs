//! The `claims` request parameter (OpenID Connect Core §5.5) as Entra uses it: a challenge to pass
//! on, and what the client can do (`device-binding.md` 4.2).

use keyward_jose::json;
use serde_json::{Map, Value, json};

/// The longest claims request read, in bytes.
const LONGEST: usize = 64 * 1024;

/// The capability of handling claims challenges (continuous access evaluation).
pub const CLAIMS_CHALLENGES: &str = "CP1";

/// Adds client capabilities to a claims request: `access_token.xms_cc.values`. Whatever else the
/// request holds stays as it is. `None` when there is nothing to send.
///
/// # Errors
///
/// When `claims` is not a JSON object with distinct members, or `access_token` in it is not an
/// object.
pub fn with_capabilities(
    claims: Option<&str>,
    capabilities: &[&str],
) -> Result<Option<String>, InvalidClaimsRequest> {
    let mut request = match claims.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => parse(text)?,
        None => Map::new(),
    };
    if !capabilities.is_empty() {
        let access_token = request.entry("access_token").or_insert_with(|| json!({}));
        if access_token.is_null() {
            *access_token = json!({});
        }
        access_token
            .as_object_mut()
            .ok_or(InvalidClaimsRequest)?
            .insert("xms_cc".to_owned(), json!({ "values": capabilities }));
    }
    Ok((!request.is_empty()).then(|| Value::Object(request).to_string()))
}

/// Checks that text is a claims request: one JSON object.
///
/// # Errors
///
/// When it is not.
pub fn check(claims: &str) -> Result<(), InvalidClaimsRequest> {
    parse(claims).map(drop)
}

/// One claims request that asks for everything both ask for; where they differ about one claim,
/// `first` wins.
///
/// # Errors
///
/// When either is not a JSON object with distinct members.
pub fn merge(first: &str, second: &str) -> Result<String, InvalidClaimsRequest> {
    let mut all = parse(first)?;
    add_missing(&mut all, parse(second)?);
    Ok(Value::Object(all).to_string())
}

fn add_missing(all: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(value)) => add_missing(known, value),
            (None | Some(Value::Null), value) => {
                all.insert(name, value);
            }
            _ => {}
        }
    }
}

fn parse(claims: &str) -> Result<Map<String, Value>, InvalidClaimsRequest> {
    if claims.len() > LONGEST {
        return Err(InvalidClaimsRequest);
    }
    json::parse_object(claims.as_bytes()).map_err(|_| InvalidClaimsRequest)
}

/// Text that is no claims request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("claims is not a JSON object with distinct members (OpenID Connect Core 5.5)")]
pub struct InvalidClaimsRequest;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capabilities_join_a_challenge() {
        let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}},"id_token":{}}"#;
        let merged = with_capabilities(Some(challenge), &[CLAIMS_CHALLENGES])
            .unwrap()
            .unwrap();
        let merged: Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(merged["access_token"]["nbf"]["value"], "1");
        assert_eq!(merged["access_token"]["xms_cc"], json!({"values": ["CP1"]}));
        assert_eq!(merged["id_token"], json!({}));
    }

    #[test]
    fn nothing_to_ask_for_is_no_parameter() {
        assert_eq!(with_capabilities(None, &[]), Ok(None));
        assert_eq!(with_capabilities(Some(" "), &[]), Ok(None));
        assert_eq!(
            with_capabilities(None, &["CP1"]).unwrap().unwrap(),
            r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#
        );
        let null = with_capabilities(Some(r#"{"access_token":null}"#), &["CP1"]);
        assert_eq!(null, with_capabilities(None, &["CP1"]));
    }

    #[test]
    fn only_objects_are_claims_requests() {
        for bad in ["[]", "x", "{", r#"{"a":1,"a":2}"#, r#"{"access_token":1}"#] {
            assert_eq!(
                with_capabilities(Some(bad), &["CP1"]),
                Err(InvalidClaimsRequest),
                "{bad}"
            );
        }
        assert_eq!(
            check(&format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST))),
            Err(InvalidClaimsRequest)
        );
    }

    #[test]
    fn merging_keeps_both_and_prefers_the_first() {
        let merged = merge(
            r#"{"access_token":{"a":{"value":"1"}}}"#,
            r#"{"access_token":{"a":{"value":"2"},"b":null},"userinfo":{}}"#,
        );
        assert_eq!(
            merged.unwrap(),
            r#"{"access_token":{"a":{"value":"1"},"b":null},"userinfo":{}}"#
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,128}", other in r#"[\{\}",:a0-9]{0,32}"#) {
            let _ = with_capabilities(Some(&text), &["CP1"]);
            let _ = merge(&text, &other);
        }
    }
}
