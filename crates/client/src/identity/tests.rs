use serde_json::{Value, json};

use keyward_oauth::id_token::{ExpectedIdToken, UnverifiedIdToken};
use keyward_oauth::identifiers::ClientId;
use keyward_oauth::issuer::Issuer;
use keyward_oauth::jose::jws::{Header, Unsigned};
use keyward_oauth::jose::{Algorithm, JwkSet};
use keyward_oauth::secret::IdTokenText;
use keyward_oauth::time::UnixTime;

use super::*;
use crate::authority::{AuthorityRule, AuthorityRules, DpopPolicy};
use crate::testing::authority::{GUEST_TENANT, TENANT};
use crate::testing::device::SoftKey;

const ISSUER: &str = "https://idp.example/realms/dev";

fn id_token(claims: Value) -> IdToken {
    let mut all = json!({ "iss": ISSUER, "aud": "app", "sub": "s-1", "iat": 1000, "exp": 2000 });
    let Value::Object(claims) = claims else {
        panic!("claims are an object")
    };
    all.as_object_mut().unwrap().extend(claims);
    let key = SoftKey::generate();
    let unsigned = Unsigned::new(&Header::new(Algorithm::Es256), all.to_string().as_bytes());
    let signature = key.signature(unsigned.signing_input());
    let token = UnverifiedIdToken::new(IdTokenText::new(unsigned.finish(&signature)));
    let expected = ExpectedIdToken {
        issuer: &Issuer::parse(ISSUER).unwrap(),
        client_id: &ClientId::parse("app").unwrap(),
        nonce: None,
    };
    let keys = JwkSet::new(vec![key.public().clone()]);
    token
        .verify(&keys, &expected, UnixTime::from_secs(1500))
        .unwrap()
}

fn openid() -> Authority {
    let rule = AuthorityRule {
        matches: Vec::new(),
        issuer: ISSUER.to_owned(),
        kind: AuthorityKind::OpenId,
        dpop: DpopPolicy::Auto,
        verify_binding: false,
    };
    AuthorityRules::new(vec![rule])
        .unwrap()
        .resolve(ISSUER, |_| None)
        .unwrap()
}

fn entra(tenant: &str) -> Authority {
    let name = format!("https://login.microsoftonline.com/{tenant}");
    AuthorityRules::default().resolve(&name, |_| None).unwrap()
}

fn client_info(user: &str, tenant: &str) -> ClientInfo {
    let text = json!({ "uid": user, "utid": tenant }).to_string();
    ClientInfo::parse(&keyward_oauth::jose::base64url::encode(text.as_bytes())).unwrap()
}

#[test]
fn issuer_and_subject_become_stable_guids() {
    let read = |claims| Identity::read(&openid(), &id_token(claims), None).unwrap();
    let one = read(json!({ "preferred_username": "alice", "given_name": "Alice" }));
    assert_eq!(one.home.utid(), derived_tenant(ISSUER).to_string());
    assert_eq!(one.home.uid(), one.profile.local_account_id);
    assert_eq!(one.profile.tenant_id, one.home.utid());
    assert_eq!(one.profile.given_name.as_deref(), Some("Alice"));
    assert_eq!(
        one.home,
        read(json!({ "preferred_username": "renamed" })).home
    );
    assert_ne!(one.home, read(json!({ "sub": "s-2" })).home);
}

#[test]
fn somebody_without_a_user_name_is_called_by_the_subject() {
    let read = |claims| Identity::read(&openid(), &id_token(claims), None).unwrap();
    assert_eq!(read(json!({})).profile.username, "s-1");
    assert_eq!(
        read(json!({ "preferred_username": "", "email": "a@b" }))
            .profile
            .username,
        "a@b"
    );
}

#[test]
fn client_info_says_who_at_home_and_the_id_token_who_in_the_tenant() {
    let token = id_token(json!({ "tid": GUEST_TENANT.to_uppercase(), "oid": "guest-oid" }));
    let info = client_info("home-oid", TENANT);
    let read = Identity::read(&entra("common"), &token, Some(&info)).unwrap();
    assert_eq!(read.home, HomeAccountId::new("home-oid", TENANT));
    assert_eq!(read.profile.tenant_id, GUEST_TENANT);
    assert_eq!(read.profile.local_account_id, "guest-oid");
    let alone = Identity::read(&entra("common"), &token, None).unwrap();
    assert_eq!(alone.home.uid(), "guest-oid");
}

#[test]
fn an_id_token_of_another_tenant_or_of_none_is_refused() {
    let info = client_info("home-oid", TENANT);
    for claims in [json!({ "tid": TENANT, "oid": "o" }), json!({ "oid": "o" })] {
        let read = Identity::read(&entra(GUEST_TENANT), &id_token(claims), Some(&info));
        assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidResponse);
    }
}

#[test]
fn numbers_that_would_not_read_back_are_refused() {
    let token = id_token(json!({ "tid": TENANT, "oid": "o" }));
    let info = client_info("u@x", TENANT);
    let read = Identity::read(&entra("common"), &token, Some(&info));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidResponse);
}
