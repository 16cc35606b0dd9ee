//! The ID token a Microsoft client is handed: it takes the account from it, and does not verify it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use keyward_client::oauth::secret::IdTokenText;
use keyward_client::result::AuthenticationResult;

use super::lenient::Text;

/// `{"alg":"none","typ":"JWT"}`
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// What a client reads in an ID token to make an account of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    oid: Text<'a>,
    #[serde(borrow)]
    tid: Text<'a>,
    #[serde(borrow)]
    preferred_username: Text<'a>,
}

/// The provider's own ID token wherever that suffices, else an unsigned one of its claims with
/// the account's identifiers added.
pub(crate) fn for_client(result: &AuthenticationResult, client_id: &str) -> String {
    let own = result.id_token.as_ref().map(IdTokenText::expose_secret);
    let payload = own.and_then(payload);
    if let (Some(own), Some(payload)) = (own, &payload)
        && suffices(payload)
    {
        return own.to_owned();
    }
    let claims = payload
        .and_then(|payload| serde_json::from_slice(&payload).ok())
        .unwrap_or_else(|| minimal(result, client_id));
    derived(claims, result)
}

/// The claims of an ID token. They are as trustworthy as whoever handed the token over.
pub(crate) fn payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()
}

fn suffices(payload: &[u8]) -> bool {
    serde_json::from_slice::<Identity<'_>>(payload).is_ok_and(|identity| {
        [identity.oid, identity.tid, identity.preferred_username]
            .iter()
            .all(|claim| claim.get().is_some())
    })
}

/// The claims of an ID token the authority did not send.
fn minimal(result: &AuthenticationResult, client_id: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), result.authority.as_str().into());
    claims.insert("aud".to_owned(), client_id.into());
    claims.insert("exp".to_owned(), result.expires_on.as_secs().into());
    claims
}

fn derived(mut claims: Map<String, Value>, result: &AuthenticationResult) -> String {
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
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    format!("{UNSIGNED}.{}.", URL_SAFE_NO_PAD.encode(claims))
}
