use super::*;
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_response;
use keyward_oauth::transport::HttpResponse;
use zeroize::Zeroizing;

fn token_error(status: u16, retry_after: Option<&str>, body: &str) -> AcquireTokenError {
    let mut headers = http::HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert("retry-after", text.parse().unwrap());
    }
    let response = HttpResponse {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers,
        body: Zeroizing::new(body.as_bytes().to_vec()),
    };
    let error = token_response::read(&response, UnixTime::from_secs(0)).unwrap_err();
    AcquireTokenError::from(error)
}

#[test]
fn every_refusal_says_whose_move_it_is() {
    use ErrorKind::{
        IncorrectConfiguration, InteractionRequired, InvalidResponse, Rejected,
        ServerTemporarilyUnavailable,
    };
    for (status, body, kind) in [
        (400, r#"{"error":"invalid_grant"}"#, InteractionRequired),
        (
            400,
            r#"{"error":"interaction_required"}"#,
            InteractionRequired,
        ),
        (
            400,
            r#"{"error":"invalid_grant","suberror":"client_mismatch"}"#,
            Rejected,
        ),
        (401, r#"{"error":"invalid_client"}"#, IncorrectConfiguration),
        (400, r#"{"error":"invalid_scope"}"#, Rejected),
        (
            400,
            r#"{"error":"invalid_request","error_codes":[50011]}"#,
            IncorrectConfiguration,
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"redirect_uri is not registered"}"#,
            IncorrectConfiguration,
        ),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            ServerTemporarilyUnavailable,
        ),
        (
            429,
            r#"{"error":"invalid_grant"}"#,
            ServerTemporarilyUnavailable,
        ),
        (500, "<html>", ServerTemporarilyUnavailable),
        (503, "", ServerTemporarilyUnavailable),
        (404, "<html>", InvalidResponse),
        (200, "garbage", InvalidResponse),
        (200, r#"{"access_token":"a"}"#, InvalidResponse),
    ] {
        assert_eq!(
            token_error(status, None, body).kind(),
            kind,
            "{status} {body}"
        );
    }
}

#[test]
fn what_the_authority_said_is_passed_on() {
    let error = token_error(
        400,
        Some("7"),
        r#"{"error":"invalid_grant","error_description":"AADSTS50076: more","suberror":"basic_action",
            "error_codes":[50076],"correlation_id":"c","claims":"{\"access_token\":{}}"}"#,
    );
    assert_eq!(error.claims(), Some(r#"{"access_token":{}}"#));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let said = error.authority().unwrap();
    assert_eq!(said.description.as_deref(), Some("AADSTS50076: more"));
    assert!(
        !format!("{error:?}").contains("AADSTS50076: more"),
        "it may name the person"
    );
    assert_eq!(
        (said.suberror.as_deref(), &said.codes[..]),
        (Some("basic_action"), &[50076][..])
    );
    assert_eq!(
        error.message(),
        "the authority refused: invalid_grant (basic_action)"
    );
}

#[test]
fn an_error_in_the_redirect_says_whose_move_it_is() {
    for (error, kind) in [
        ("access_denied", ErrorKind::UserCanceled),
        ("login_required", ErrorKind::InteractionRequired),
        ("consent_required", ErrorKind::InteractionRequired),
        ("server_error", ErrorKind::ServerTemporarilyUnavailable),
        ("invalid_scope", ErrorKind::Rejected),
        ("unauthorized_client", ErrorKind::IncorrectConfiguration),
    ] {
        let response = ErrorResponse {
            error: error.to_owned(),
            ..ErrorResponse::default()
        };
        let refused = RedirectError::Refused(Box::new(response));
        assert_eq!(AcquireTokenError::from(refused).kind(), kind, "{error}");
    }
    let mixed_up = AcquireTokenError::from(RedirectError::Issuer);
    assert_eq!(mixed_up.kind(), ErrorKind::InvalidResponse);
}
