use keyward_oauth::scope::Scopes;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_000);
const LIFETIME: Duration = Duration::from_secs(60);
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn issued(change: impl FnOnce(&mut Code)) -> (Codes, String) {
    let grant = Grant {
        tenant: Tenant::Oidc,
        user_name: "alice@dev.test".to_owned(),
        client_id: "app".to_owned(),
        scopes: Scopes::parse("openid"),
        auth_time: NOW,
    };
    let mut code = Code::new(
        grant,
        "http://localhost:1/".to_owned(),
        CHALLENGE.to_owned(),
    );
    change(&mut code);
    let codes = Codes::new();
    let text = codes.issue(NOW, LIFETIME, code);
    (codes, text)
}

fn good(code: &str) -> Redemption<'_> {
    Redemption {
        tenant: Tenant::Oidc,
        code,
        client_id: "app",
        redirect_uri: "http://localhost:1/",
        verifier: VERIFIER,
        proof_key: None,
    }
}

#[test]
fn a_code_is_redeemed_once() {
    let (codes, text) = issued(|_| {});
    assert!(codes.redeem(NOW, &good(&text), None).is_ok());
    let family = FamilyId::from_raw(7);
    codes.remember_family(NOW, &text, family);
    let again = codes.redeem(NOW, &good(&text), None).err();
    assert_eq!(again, Some(CodeError::Reused(Some(family))));
}

#[test]
fn a_thief_without_the_verifier_uses_nothing_up() {
    let (codes, text) = issued(|_| {});
    let thief = Redemption {
        verifier: "guess",
        ..good(&text)
    };
    assert_eq!(
        codes.redeem(NOW, &thief, None).err(),
        Some(CodeError::WrongVerifier)
    );
    assert!(codes.redeem(NOW, &good(&text), None).is_ok());
    assert_eq!(
        codes.redeem(NOW, &thief, None).err(),
        Some(CodeError::WrongVerifier)
    );
}

#[test]
fn a_code_belongs_to_client_redirect_uri_and_tenant() {
    let (codes, text) = issued(|_| {});
    for other in [
        Redemption {
            client_id: "other",
            ..good(&text)
        },
        Redemption {
            redirect_uri: "http://localhost:2/",
            ..good(&text)
        },
        Redemption {
            tenant: Tenant::Entra,
            ..good(&text)
        },
        good("invented"),
    ] {
        assert_eq!(
            codes.redeem(NOW, &other, None).err(),
            Some(CodeError::Unknown)
        );
    }
}

#[test]
fn a_code_bound_to_a_key_needs_that_key() {
    let key = |octet| Thumbprint::parse(&base64url::encode(&[octet; 32])).unwrap();
    let (codes, text) = issued(|code| code.dpop_jkt = Some(key(1)));
    assert_eq!(
        codes.redeem(NOW, &good(&text), None).err(),
        Some(CodeError::WrongKey)
    );
    let (wrong, right) = (key(2), key(1));
    let wrong = Redemption {
        proof_key: Some(&wrong),
        ..good(&text)
    };
    assert_eq!(
        codes.redeem(NOW, &wrong, None).err(),
        Some(CodeError::WrongKey)
    );
    let right = Redemption {
        proof_key: Some(&right),
        ..good(&text)
    };
    assert!(codes.redeem(NOW, &right, None).is_ok());
}

#[test]
fn a_code_expires() {
    let (codes, text) = issued(|_| {});
    let later = NOW.plus(LIFETIME);
    assert_eq!(
        codes.redeem(later, &good(&text), None).err(),
        Some(CodeError::Expired)
    );
    let (codes, text) = issued(|_| {});
    let twisted = codes.redeem(NOW, &good(&text), Some(Twist::Expired)).err();
    assert_eq!(twisted, Some(CodeError::Expired));
    assert!(codes.redeem(NOW, &good(&text), None).is_ok());
}
