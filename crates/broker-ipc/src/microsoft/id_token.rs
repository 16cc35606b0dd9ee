//! The ID token a Microsoft client is handed: it takes the account from it, and does not verify it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use keyward_client::account::AccountInfo;
use keyward_client::oauth::secret::IdTokenText;
use keyward_client::result::AuthenticationResult;

/// `{"alg":"none","typ":"JWT"}`
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// What a client reads in an ID token to make an account of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    oid: Claim<'a>,
    #[serde(borrow)]
    tid: Claim<'a>,
    #[serde(borrow)]
    preferred_username: Claim<'a>,
    #[serde(borrow)]
    name: Claim<'a>,
    #[serde(borrow)]
    given_name: Claim<'a>,
    #[serde(borrow)]
    family_name: Claim<'a>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Claim<'a> {
    #[default]
    #[serde(skip)]
    Absent,
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

/// The provider's own ID token wherever that suffices, else an unsigned one of its claims with
/// the account's identifiers added.
pub(crate) fn for_client(result: &AuthenticationResult, client_id: &str) -> String {
    let own = result.id_token.as_ref().map(IdTokenText::expose_secret);
    let payload = own.and_then(payload);
    let claims = match (own, payload) {
        (Some(own), Some(payload)) => match Identity::read(&payload) {
            Some(identity) if identity.suffices() => return own.to_owned(),
            Some(identity) => identity
                .completed(&payload, &result.account)
                .or_else(|| Some(replaced(serde_json::from_slice(&payload).ok()?, result))),
            None => None,
        },
        _ => None,
    };
    let claims = claims.unwrap_or_else(|| replaced(minimal(result, client_id), result));
    format!("{UNSIGNED}.{}.", URL_SAFE_NO_PAD.encode(claims))
}

/// The claims of an ID token. They are as trustworthy as whoever handed the token over.
pub(crate) fn payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()
}

impl<'a> Identity<'a> {
    /// Reads the claims. `None`: they are no JSON object.
    fn read(payload: &'a [u8]) -> Option<Self> {
        payload.trim_ascii_start().strip_prefix(b"{")?;
        serde_json::from_slice(payload).ok()
    }

    fn suffices(&self) -> bool {
        [&self.oid, &self.tid, &self.preferred_username]
            .iter()
            .all(|claim| matches!(claim, Claim::Text(text) if !text.is_empty()))
    }

    /// The claims, with those added that are not among them. `None`: some say otherwise.
    ///
    /// This happens for each token of a plain OpenID provider, so the claims are not taken apart
    /// and put together again.
    fn completed(&self, payload: &[u8], account: &AccountInfo) -> Option<Vec<u8>> {
        let rest = payload.trim_ascii().strip_prefix(b"{")?;
        let mut claims = Vec::with_capacity(payload.len() + 256);
        let mut separator = b'{';
        let mut add = |name: &str, value: &str| {
            claims.push(separator);
            separator = b',';
            serde_json::to_writer(&mut claims, name).ok()?;
            claims.push(b':');
            serde_json::to_writer(&mut claims, value).ok()
        };
        for (name, said, value) in [
            ("oid", &self.oid, &account.local_account_id),
            ("tid", &self.tid, &account.tenant_id),
            (
                "preferred_username",
                &self.preferred_username,
                &account.username,
            ),
        ] {
            match said {
                Claim::Absent => add(name, value)?,
                Claim::Text(said) if *said == value.as_str() => {}
                Claim::Text(_) | Claim::Other(_) => return None,
            }
        }
        for (name, said, value) in [
            ("name", &self.name, &account.name),
            ("given_name", &self.given_name, &account.given_name),
            ("family_name", &self.family_name, &account.family_name),
        ] {
            if let (Claim::Absent, Some(value)) = (said, value) {
                add(name, value)?;
            }
        }
        claims.push(if rest.trim_ascii_start() == b"}" {
            b' '
        } else {
            separator
        });
        claims.extend_from_slice(rest);
        Some(claims)
    }
}

/// The claims of an ID token the authority did not send.
fn minimal(result: &AuthenticationResult, client_id: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), result.authority.as_str().into());
    claims.insert("aud".to_owned(), client_id.into());
    claims.insert("exp".to_owned(), result.expires_on.as_secs().into());
    claims
}

/// The claims with those of the account in place of what they say about it.
fn replaced(mut claims: Map<String, Value>, result: &AuthenticationResult) -> Vec<u8> {
    let account = &result.account;
    let mut set = |name: &str, value: &str| {
        claims.insert(name.to_owned(), value.into());
    };
    set("oid", &account.local_account_id);
    set("tid", &account.tenant_id);
    set("preferred_username", &account.username);
    for (name, value) in [
        ("name", &account.name),
        ("given_name", &account.given_name),
        ("family_name", &account.family_name),
    ] {
        if let Some(value) = value {
            claims.entry(name).or_insert_with(|| value.as_str().into());
        }
    }
    // INVARIANT: a map of JSON values always serializes.
    serde_json::to_vec(&claims).unwrap_or_default()
}
