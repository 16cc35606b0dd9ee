//! The error object (`linux-broker-dbus.md` 8), from the one table of errors.

use serde::Serialize;

use keyward_client::error::AcquireTokenError;

/// Added to the exit code of an error's kind, which never changes, to make its tag: "KW".
const TAG: u32 = 0x4b57_0000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorObject<'a> {
    context: &'a str,
    error_code: i32,
    status: u8,
    sub_status: u8,
    tag: u32,
}

#[derive(Serialize)]
struct Plain<'a> {
    error: &'a ErrorObject<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfTokenCall<'a> {
    broker_token_response: Plain<'a>,
    error: &'a ErrorObject<'a>,
}

/// The reply to a token request that failed. Both places are read by some client.
pub(super) fn of_token_call(error: &AcquireTokenError) -> String {
    with_object(error, |error| {
        serde_json::to_string(&OfTokenCall {
            broker_token_response: Plain { error },
            error,
        })
    })
}

/// The reply to any other request that failed.
pub(super) fn plain(error: &AcquireTokenError) -> String {
    with_object(error, |error| serde_json::to_string(&Plain { error }))
}

fn with_object(
    error: &AcquireTokenError,
    write: impl FnOnce(&ErrorObject<'_>) -> serde_json::Result<String>,
) -> String {
    let row = error.kind().row();
    let codes = error.authority().map_or(&[][..], |answer| &answer.codes);
    let context = context(error);
    let object = ErrorObject {
        context: &context,
        error_code: codes
            .first()
            .and_then(|code| i32::try_from(*code).ok())
            .unwrap_or(0),
        status: row.runtime_status,
        sub_status: 0,
        tag: TAG | u32::from(row.exit_code),
    };
    // INVARIANT: texts and numbers always serialize.
    write(&object).unwrap_or_default()
}

/// Text for logs and people. Libraries look for `AADSTS…` codes in it.
fn context(error: &AcquireTokenError) -> String {
    let row = error.kind().row();
    let mut context = format!("{}: {}", row.name, error.message());
    let codes = error.authority().map_or(&[][..], |answer| &answer.codes);
    for code in codes {
        let code = format!("AADSTS{code}");
        if !context.contains(&code) {
            context.push_str(" (");
            context.push_str(&code);
            context.push(')');
        }
    }
    // What the authority says in its own words; its later lines are only its log's identifiers.
    let words = error
        .authority()
        .and_then(|answer| answer.description.as_deref());
    if let Some(words) = words.and_then(|text| text.lines().next()) {
        context.push_str("; the authority says: ");
        context.push_str(words);
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_client::error::{AuthorityError, TABLE};
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_its_status_in_both_places() {
        let mut tags = HashSet::new();
        for row in TABLE {
            let error = AcquireTokenError::new(row.kind, "it broke");
            let reply: serde_json::Value = serde_json::from_str(&of_token_call(&error)).unwrap();
            let top = &reply["error"];
            assert_eq!(top, &reply["brokerTokenResponse"]["error"]);
            assert_eq!(top["status"], row.runtime_status);
            assert_eq!(top["errorCode"], 0);
            assert!(top["context"].as_str().unwrap().contains("it broke"));
            assert!(tags.insert(top["tag"].as_u64().unwrap()));
        }
    }

    #[test]
    fn the_authority_is_quoted() {
        let answer = AuthorityError {
            error: "invalid_grant".to_owned(),
            description: Some("AADSTS50076: use MFA.\r\nTrace ID: 1".to_owned()),
            codes: vec![50_076],
            ..AuthorityError::default()
        };
        let error = AcquireTokenError::new(
            keyward_client::error::ErrorKind::InteractionRequired,
            "sign in again",
        )
        .with_authority(Some(answer));
        let context = context(&error);
        assert!(context.ends_with("; the authority says: AADSTS50076: use MFA."));
    }

    #[test]
    fn the_authoritys_codes_are_seen() {
        let answer = AuthorityError {
            error: "invalid_request".to_owned(),
            codes: vec![50_011, 7],
            ..AuthorityError::default()
        };
        let error = AcquireTokenError::new(
            keyward_client::error::ErrorKind::IncorrectConfiguration,
            "refused: AADSTS50011",
        )
        .with_authority(Some(answer));
        let reply: serde_json::Value = serde_json::from_str(&plain(&error)).unwrap();
        assert_eq!(reply["error"]["errorCode"], 50_011);
        let context = reply["error"]["context"].as_str().unwrap();
        assert_eq!(context.matches("AADSTS50011").count(), 1);
        assert!(context.ends_with("(AADSTS7)"));
    }
}
