use keyward_jose::base64url;
use keyward_oauth::scope::Scopes;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_000);
const LIFETIME: Duration = Duration::from_secs(60);

fn key(octet: u8) -> Thumbprint {
    Thumbprint::parse(&base64url::encode(&[octet; 32])).unwrap()
}

fn issued(tenant: Tenant, jkt: Option<Thumbprint>, foci: bool) -> (RefreshTokens, String) {
    let grant = Grant {
        tenant,
        user_name: "alice@dev.test".to_owned(),
        client_id: "app".to_owned(),
        scopes: Scopes::parse("openid offline_access"),
        auth_time: NOW,
    };
    let tokens = RefreshTokens::default();
    let (text, _) = tokens.issue(NOW, LIFETIME, (grant, jkt, foci));
    (tokens, text)
}

fn using<'a>(tenant: Tenant, refresh_token: &'a str, proof_key: Option<&'a Thumbprint>) -> Use<'a> {
    Use {
        tenant,
        refresh_token,
        client_id: "app",
        is_family_client: false,
        proof_key,
        lifetime: LIFETIME,
        twist: None,
    }
}

#[test]
fn a_thief_without_the_key_cannot_revoke_the_family() {
    let (right, wrong) = (key(1), key(2));
    let (tokens, first) = issued(Tenant::Oidc, Some(right.clone()), false);
    let rotate = |token: &str, key: Option<&Thumbprint>| {
        tokens
            .rotate(NOW, &using(Tenant::Oidc, token, key))
            .map(|(_, next)| next)
    };
    let second = rotate(&first, Some(&right)).unwrap();
    let third = rotate(&second, Some(&right)).unwrap();
    for stolen in [&first, &second, &third] {
        assert_eq!(
            rotate(stolen, Some(&wrong)).err(),
            Some(RefreshError::WrongKey)
        );
        assert_eq!(rotate(stolen, None).err(), Some(RefreshError::WrongKey));
    }
    assert!(rotate(&third, Some(&right)).is_ok());
    assert_eq!(
        rotate(&first, Some(&right)).err(),
        Some(RefreshError::Reused)
    );
    assert_eq!(
        rotate(&third, Some(&right)).err(),
        Some(RefreshError::Revoked(Revoked::ByProtocol))
    );
}

#[test]
fn entra_keeps_old_tokens_good() {
    let (tokens, first) = issued(Tenant::Entra, None, false);
    for _ in 0..3 {
        assert!(
            tokens
                .rotate(NOW, &using(Tenant::Entra, &first, None))
                .is_ok()
        );
    }
    assert_eq!(tokens.issued().len(), 4);
}

#[test]
fn a_token_belongs_to_its_client_unless_it_is_a_family_token() {
    let other = |token| Use {
        client_id: "other",
        ..using(Tenant::Entra, token, None)
    };
    let (tokens, first) = issued(Tenant::Entra, None, false);
    assert_eq!(
        tokens.rotate(NOW, &other(&first)).err(),
        Some(RefreshError::WrongClient)
    );
    let (tokens, first) = issued(Tenant::Entra, None, true);
    assert_eq!(
        tokens.rotate(NOW, &other(&first)).err(),
        Some(RefreshError::WrongClient)
    );
    assert!(
        tokens
            .rotate(
                NOW,
                &Use {
                    is_family_client: true,
                    ..other(&first)
                }
            )
            .is_ok()
    );
}

#[test]
fn tokens_of_one_tenant_are_unknown_in_the_other() {
    let (tokens, first) = issued(Tenant::Entra, None, false);
    let result = tokens.rotate(NOW, &using(Tenant::Oidc, &first, None));
    assert_eq!(result.err(), Some(RefreshError::Unknown));
}

#[test]
fn a_token_expires_and_a_user_can_be_revoked() {
    let (tokens, first) = issued(Tenant::Oidc, None, false);
    let late = tokens.rotate(NOW.plus(LIFETIME), &using(Tenant::Oidc, &first, None));
    assert_eq!(late.err(), Some(RefreshError::Expired));
    assert_eq!(tokens.revoke_user("ALICE@dev.test"), 1);
    let revoked = tokens.rotate(NOW, &using(Tenant::Oidc, &first, None));
    assert_eq!(
        revoked.err(),
        Some(RefreshError::Revoked(Revoked::ByAdministrator))
    );
    assert!(tokens.issued()[0].revoked);
}

#[test]
fn what_a_script_pretends_is_not_remembered() {
    let (tokens, first) = issued(Tenant::Oidc, None, false);
    let twisted = Use {
        twist: Some(Twist::Revoked),
        ..using(Tenant::Oidc, &first, None)
    };
    assert!(tokens.rotate(NOW, &twisted).is_err());
    assert!(
        tokens
            .rotate(NOW, &using(Tenant::Oidc, &first, None))
            .is_ok()
    );
}
