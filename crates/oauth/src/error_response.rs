//! Errors of an authority (RFC 6749 §4.1.2.1, §5.2) with Entra's additions (`device-binding.md`
//! 4.4).

use std::fmt;

use crate::answer::{Answer, InvalidAnswer};

/// The longest text kept of any one field, in bytes.
const LONGEST: usize = 2048;

/// What an authority says when it refuses. Texts are cut to 2 KiB and hold no control characters,
/// so they can be shown to the person; `claims` is kept whole. The description may name that person,
/// so neither `Display` nor `Debug` has it: both may reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ErrorResponse {
    /// `error`, such as `invalid_grant`.
    pub error: String,
    /// `error_description`, for people.
    pub description: Option<String>,
    /// `suberror`, such as `bad_token`.
    pub suberror: Option<String>,
    /// `error_codes`, the numbers behind `AADSTS`; read from the description where the list is
    /// missing.
    pub codes: Vec<u64>,
    /// `claims`: a challenge to pass on to the interactive request.
    pub claims: Option<String>,
    /// `correlation_id` as the authority logged it.
    pub correlation_id: Option<String>,
}

impl ErrorResponse {
    /// Reads an error object; `None` when there is no `error` in it.
    pub(crate) fn from_answer(answer: &mut Answer) -> Result<Option<Self>, InvalidAnswer> {
        let Some(error) = answer.text("error")? else {
            return Ok(None);
        };
        let mut response = Self::from_redirect(error, |name| {
            // A broken detail must not hide the error itself.
            answer.text(name).ok().flatten()
        });
        let codes = answer.numbers("error_codes");
        if !codes.is_empty() {
            response.codes = codes;
        }
        Ok(Some(response))
    }

    /// Reads the parameters of an error redirect; `take` moves one out.
    pub(crate) fn from_redirect(
        error: String,
        mut take: impl FnMut(&'static str) -> Option<String>,
    ) -> Self {
        let description = take("error_description").map(printable);
        Self {
            error: printable(error),
            suberror: take("suberror")
                .or_else(|| take("error_subcode"))
                .map(printable),
            codes: description
                .as_deref()
                .and_then(aadsts)
                .into_iter()
                .collect(),
            claims: take("claims"),
            correlation_id: take("correlation_id").map(printable),
            description,
        }
    }

    /// Whether a person can help by signing in (`device-binding.md` 4.4).
    pub fn interaction_required(&self) -> bool {
        let hopeless = ["client_mismatch", "protection_policy_required"];
        INTERACTION.contains(&self.error.as_str())
            && !self
                .suberror
                .as_deref()
                .is_some_and(|sub| hopeless.contains(&sub))
    }

    /// Whether the authority says that it only cannot answer now (RFC 6749 §4.1.2.1).
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.error.as_str(),
            "temporarily_unavailable" | "server_error"
        )
    }

    /// Whether the redirect URI is what the authority refuses: Entra says so by number, others in
    /// words, for RFC 6749 has no error code for it.
    pub fn refuses_redirect_uri(&self) -> bool {
        let words = self.description.as_deref().unwrap_or_default();
        self.codes.iter().any(|code| REDIRECT_URI.contains(code))
            || self.error.contains("redirect_uri")
            || (self.error.starts_with("invalid_re") && words.contains("redirect_uri"))
    }

    /// Whether the authority wants a DPoP proof with a nonce it just gave (RFC 9449 §8).
    pub fn wants_dpop_nonce(&self) -> bool {
        self.error == "use_dpop_nonce"
    }
}

/// AADSTS numbers of a redirect URI that is not registered.
const REDIRECT_URI: [u64; 2] = [50_011, 500_113];

/// `error` values that a sign-in may mend.
const INTERACTION: [&str; 7] = [
    "invalid_grant",
    "interaction_required",
    "consent_required",
    "login_required",
    "account_selection_required",
    "bad_token",
    "unmet_authentication_requirements",
];

/// The number in `AADSTS50076: …`, with which Entra's descriptions begin.
fn aadsts(description: &str) -> Option<u64> {
    let digits = description.strip_prefix("AADSTS")?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// One line of at most [`LONGEST`] bytes.
fn printable(text: String) -> String {
    if text.len() <= LONGEST && !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() > LONGEST {
            break;
        }
        line.push(c);
    }
    line
}

/// `error`, and `suberror` where there is one.
impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        match &self.suberror {
            Some(suberror) => write!(f, " ({suberror})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorResponse")
            .field("error", &self.error)
            .field("suberror", &self.suberror)
            .field("codes", &self.codes)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ErrorResponse {
        ErrorResponse::from_answer(&mut Answer::parse(text.as_bytes()).unwrap())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn an_entra_error_keeps_what_the_caller_needs() {
        let error = read(
            r#"{"error":"invalid_grant","error_description":"AADSTS50076: more\r\nTrace: 1",
                "error_codes":[50076,"7"],"timestamp":"2026-01-01 00:00:00Z","trace_id":"t",
                "correlation_id":"c","suberror":"basic_action","claims":"{\"access_token\":{}}"}"#,
        );
        assert_eq!(error.codes, [50076, 7]);
        assert_eq!(error.suberror.as_deref(), Some("basic_action"));
        assert_eq!(error.claims.as_deref(), Some(r#"{"access_token":{}}"#));
        assert_eq!(
            error.description.as_deref(),
            Some("AADSTS50076: more  Trace: 1")
        );
        assert!(error.interaction_required() && !error.is_temporary());
    }

    #[test]
    fn the_code_is_read_from_the_description_where_the_list_is_missing() {
        let error = read(r#"{"error":"invalid_client","error_description":"AADSTS50011: no"}"#);
        assert_eq!(error.codes, [50011]);
        assert!(
            read(r#"{"error":"x","error_description":"AADSTS: no"}"#)
                .codes
                .is_empty()
        );
    }

    #[test]
    fn signing_in_does_not_mend_every_invalid_grant() {
        for suberror in ["client_mismatch", "protection_policy_required"] {
            let error = read(&format!(
                r#"{{"error":"invalid_grant","suberror":"{suberror}"}}"#
            ));
            assert!(!error.interaction_required(), "{suberror}");
        }
        assert!(!read(r#"{"error":"invalid_client"}"#).interaction_required());
    }

    #[test]
    fn broken_details_do_not_hide_the_error() {
        let error = read(r#"{"error":"invalid_grant","suberror":1,"error_codes":"x","claims":{}}"#);
        assert_eq!(error.error, "invalid_grant");
        assert_eq!((error.suberror, error.claims), (None, None));
    }

    #[test]
    fn what_may_reach_a_log_names_nobody() {
        let error = read(
            r#"{"error":"invalid_grant","suberror":"basic_action",
                "error_description":"no such user alice@dev.test"}"#,
        );
        assert_eq!(error.to_string(), "invalid_grant (basic_action)");
        assert!(!format!("{error:?}").contains("alice"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = format!(
            r#"{{"error":"e","error_description":"{}"}}"#,
            "ä".repeat(5000)
        );
        assert_eq!(read(&text).description.unwrap().len(), LONGEST);
    }
}
