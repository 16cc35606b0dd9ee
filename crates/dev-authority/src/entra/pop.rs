//! Access tokens bound to a key for signed HTTP requests: `token_type=pop` and `req_cnf`
//! (`device-binding.md` 3).

use keyward_jose::{base64url, json};
use serde_json::Value;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::tokens::access::Confirmation;

/// What the access token of a request is to be bound to.
///
/// # Errors
///
/// When another kind of token is asked for, or `req_cnf` is not base64url of `{"kid":…}`. Only
/// that form is accepted, as by Entra.
pub(crate) fn confirmation(call: &Call) -> Result<Confirmation, Aadsts> {
    match call.form.get("token_type") {
        None => Ok(Confirmation::Bearer),
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => Ok(Confirmation::Bearer),
        Some(kind) if kind.eq_ignore_ascii_case("pop") => {
            let req_cnf = call
                .form
                .get("req_cnf")
                .ok_or_else(|| Aadsts::missing("req_cnf"))?;
            read(req_cnf)
                .ok_or_else(|| Aadsts::malformed("req_cnf is not base64url of {\"kid\":…}"))
        }
        Some(_) => Err(Aadsts::bad_value("token_type")),
    }
}

fn read(req_cnf: &str) -> Option<Confirmation> {
    const LONGEST: usize = 256;
    let members = json::parse_object(&base64url::decode(req_cnf).ok()?).ok()?;
    let text = |name| members.get(name).and_then(Value::as_str);
    let kid = text("kid").filter(|kid| !kid.is_empty() && kid.len() <= LONGEST)?;
    let xms_ksl = text("xms_ksl")
        .filter(|ksl| ksl.len() <= LONGEST)
        .map(str::to_owned);
    Some(Confirmation::Kid {
        kid: kid.to_owned(),
        xms_ksl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kid_form_is_read() {
        let known = "eyJraWQiOiJXaVZsbjRGSFc3TVJ0NU80UzN6YmxvcXZld0E4elZUY3U0eXhqd1I3ZHlFIn0";
        let kid = "WiVln4FHW7MRt5O4S3zbloqvewA8zVTcu4yxjwR7dyE".to_owned();
        assert_eq!(read(known), Some(Confirmation::Kid { kid, xms_ksl: None }));
        let js = base64url::encode(br#"{"kid":"k","xms_ksl":"sw"}"#);
        let xms_ksl = Some("sw".to_owned());
        assert_eq!(
            read(&js),
            Some(Confirmation::Kid {
                kid: "k".to_owned(),
                xms_ksl
            })
        );
        for bad in [
            "{}",
            r#"{"kid":""}"#,
            r#"{"kid":1}"#,
            r#"{"jwk":{}}"#,
            "[]",
            "x",
        ] {
            assert_eq!(read(&base64url::encode(bad.as_bytes())), None, "{bad}");
        }
        assert_eq!(read("{\"kid\":\"k\"}"), None);
    }
}
