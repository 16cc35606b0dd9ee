//! `Pending::finish`: no redirect passes whose state was not drawn here.
#![no_main]

use std::collections::BTreeMap;

use keyward_oauth::authorization_code::{AuthorizationRequest, RedirectUri, start};
use keyward_oauth::identifiers::ClientId;
use keyward_oauth::issuer::{Issuer, IssuerRule};
use keyward_oauth::metadata::Metadata;
use keyward_oauth::scope::Scopes;
use keyward_oauth::token_request::Dialect;
use keyward_oauth::transport::Redirect;
use libfuzzer_sys::fuzz_target;
use url::Url;

const METADATA: &[u8] = br#"{"issuer":"https://op.example",
    "authorization_endpoint":"https://op.example/auth","token_endpoint":"https://op.example/token",
    "jwks_uri":"https://op.example/jwks"}"#;

/// The state that the source of random bytes below leads to.
const STATE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

fuzz_target!(|query: &str| {
    let redirect_uri = Url::parse("http://127.0.0.1:1/callback").expect("a URL");
    let issuer = Issuer::parse("https://op.example").expect("an issuer");
    let metadata = Metadata::parse(METADATA, &IssuerRule::Exact(issuer)).expect("metadata");
    let request = AuthorizationRequest {
        client_id: &ClientId::parse("native").expect("a client"),
        redirect_uri: &RedirectUri::new(redirect_uri.clone(), None),
        scopes: &Scopes::parse("openid"),
        prompt: None,
        login_hint: None,
        claims: None,
        dpop_jkt: None,
        dialect: Dialect::OpenId,
        extra_parameters: &BTreeMap::new(),
    };
    // Every second run comes with the right state, to get past that check.
    for prefix in ["", "state=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI&"] {
        let mut next = 0;
        let (_, pending) = start(&metadata, &request, &mut |bytes| {
            next += 1;
            bytes.fill(next);
        });
        let mut url = redirect_uri.clone();
        url.set_query(Some(&format!("{prefix}{query}")));
        let states = url.query_pairs().filter(|(name, _)| name == "state");
        let ours = states.map(|(_, value)| value == STATE).collect::<Vec<_>>() == [true];
        assert!(ours || pending.finish(&Redirect { url }).is_err());
    }
});
