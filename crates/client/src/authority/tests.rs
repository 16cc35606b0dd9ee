use super::*;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

fn rule(matches: &[&str], issuer: &str, kind: AuthorityKind) -> AuthorityRule {
    AuthorityRule {
        matches: matches.iter().map(|&m| m.to_owned()).collect(),
        issuer: issuer.to_owned(),
        kind,
        dpop: DpopPolicy::Auto,
        verify_binding: false,
    }
}

fn rules(rules: &[AuthorityRule]) -> AuthorityRules {
    AuthorityRules::new(rules.to_vec()).unwrap()
}

fn resolve(rules: &AuthorityRules, text: &str) -> Result<Authority, AcquireTokenError> {
    rules.resolve(text, |_| None)
}

#[test]
fn every_spelling_of_a_microsoft_host_is_one_provider() {
    let none = AuthorityRules::default();
    for text in [
        "https://login.microsoftonline.com/common",
        "https://LOGIN.microsoftonline.com/Common/",
        "https://login.windows.net/common",
        "https://sts.windows.net/common/v2.0",
        "https://login.microsoft.com",
    ] {
        let authority = resolve(&none, text).unwrap();
        assert_eq!(
            &*authority.provider, "https://login.microsoftonline.com",
            "{text}"
        );
        assert_eq!(
            &*authority.issuer,
            "https://login.microsoftonline.com/common/v2.0"
        );
        assert_eq!(&*authority.environment, "login.microsoftonline.com");
        assert_eq!(authority.kind, AuthorityKind::Entra);
    }
}

#[test]
fn clouds_are_kept_apart() {
    let us = resolve(
        &AuthorityRules::default(),
        "https://login.usgovcloudapi.net/organizations",
    );
    assert_eq!(&*us.unwrap().provider, "https://login.microsoftonline.us");
}

#[test]
fn an_authority_nobody_configured_is_refused_with_the_lines_that_allow_it() {
    let none = AuthorityRules::default();
    for text in [
        "https://evil.example/realms/x",
        "https://login.microsoftonline.com.evil.example/common",
        "https://login.microsoftonline.com/common/more",
        "http://localhost:9000/oidc",
    ] {
        let error = resolve(&none, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AuthorityUntrusted, "{text}");
        assert!(error.message().contains("[[authority]]"), "{error}");
        assert!(error.message().contains(text), "{error}");
    }
}

#[test]
fn an_untrusted_tenant_is_refused_with_a_match_line() {
    let error = resolve(
        &AuthorityRules::default(),
        &format!("https://idp.example/{TENANT}?a=b"),
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains(&format!("match = [\"https://idp.example/{TENANT}\"]")),
        "{text}"
    );
    assert!(!text.contains("a=b"), "{text}");
}

#[test]
fn what_is_no_https_url_is_an_invalid_request() {
    for text in [
        "",
        "common",
        "ftp://x/y",
        "http://idp.example/x",
        "https://u:p@idp.example/x",
    ] {
        let error = resolve(&AuthorityRules::default(), text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
    }
}

#[test]
fn a_match_counts_by_host_and_first_segment_without_port_or_scheme() {
    let rules = rules(&[rule(
        &["https://localhost/a", "https://idp.example/realms/x"],
        "http://localhost:9000/oidc",
        AuthorityKind::OpenId,
    )]);
    for text in [
        "https://localhost/a",
        "http://localhost:1234/A/",
        "https://localhost:8443/a/v2.0",
        "https://idp.example/realms",
        "https://idp.example/realms/x",
    ] {
        let authority = resolve(&rules, text).expect(text);
        assert_eq!(&*authority.issuer, "http://localhost:9000/oidc");
    }
    for text in [
        "https://localhost/b",
        "https://localhost",
        "https://idp.example/realms/y",
    ] {
        assert!(resolve(&rules, text).is_err(), "{text}");
    }
}

#[test]
fn a_match_goes_before_the_well_known_hosts() {
    let rules = rules(&[rule(
        &["https://login.microsoftonline.com/common"],
        "http://localhost:9000/oidc",
        AuthorityKind::OpenId,
    )]);
    let mapped = resolve(&rules, "https://login.windows.net/common").unwrap();
    assert_eq!(
        mapped.kind,
        AuthorityKind::Entra,
        "only the name that was mapped"
    );
    let mapped = resolve(&rules, "https://login.microsoftonline.com/common").unwrap();
    assert_eq!(mapped.kind, AuthorityKind::OpenId);
    assert_eq!(&*mapped.environment, "login.microsoftonline.com");
}

#[test]
fn the_exact_issuer_of_a_rule_names_it_with_its_port() {
    let rules = rules(&[
        rule(
            &[],
            "https://idp.example:8443/realms/a",
            AuthorityKind::OpenId,
        ),
        rule(
            &[],
            "https://idp.example:8443/realms/b/",
            AuthorityKind::OpenId,
        ),
    ]);
    let b = resolve(&rules, "https://IDP.example:8443/realms/b").unwrap();
    assert_eq!(
        &*b.issuer, "https://idp.example:8443/realms/b/",
        "the exact text is kept"
    );
    for text in [
        "https://idp.example/realms/a",
        "https://idp.example:8443/realms/A",
    ] {
        assert!(resolve(&rules, text).is_err(), "{text}");
    }
}

#[test]
fn a_derived_guid_resolves_back_to_its_issuer_on_any_host() {
    let issuer = "https://idp.example:8443/realms/a";
    let rules = rules(&[rule(&[], issuer, AuthorityKind::OpenId)]);
    let guid = derived_tenant(issuer).to_string().to_uppercase();
    for host in [
        "localhost",
        "idp.example",
        "other.example",
        "login.microsoftonline.com",
    ] {
        let authority = resolve(&rules, &format!("https://{host}/{guid}")).unwrap();
        assert_eq!(&*authority.issuer, issuer);
        assert_eq!(&*authority.environment, host);
    }
}

#[test]
fn a_derived_guid_of_an_issuer_used_before_resolves_too() {
    let issuer = "https://idp.example/";
    let guid = derived_tenant(issuer).to_string();
    let authority = AuthorityRules::default()
        .resolve(&format!("https://localhost/{guid}"), |asked| {
            (asked == guid).then(|| Arc::from(issuer))
        })
        .unwrap();
    assert_eq!(&*authority.provider, issuer);
}

#[test]
fn a_configured_entra_authority_shares_accounts_among_its_tenants() {
    let rules = rules(&[
        rule(
            &["https://localhost/common"],
            &format!("http://localhost:9000/{TENANT}/v2.0"),
            AuthorityKind::Entra,
        ),
        rule(
            &["https://localhost/organizations"],
            "http://localhost:9000/common/v2.0",
            AuthorityKind::Entra,
        ),
    ]);
    let one = resolve(&rules, "https://localhost/common").unwrap();
    let all = resolve(&rules, "https://localhost/organizations").unwrap();
    assert_eq!(one.provider, all.provider);
    assert_eq!(one.tenant, Tenant::Id(TENANT.to_owned()));
    assert_eq!(all.tenant, Tenant::Common);
    assert_eq!(all.in_realm(TENANT).issuer, one.issuer);
}

#[test]
fn an_entra_rule_without_tenant_is_refused() {
    for issuer in [
        "https://idp.example",
        "https://idp.example/v2.0/",
        "https://idp.example/a_b",
    ] {
        let refused = AuthorityRules::new(vec![rule(&[], issuer, AuthorityKind::Entra)]);
        assert!(
            matches!(refused, Err(InvalidAuthority::NotEntra(_))),
            "{issuer}"
        );
    }
}

#[test]
fn the_realm_is_the_named_tenant_and_the_home_tenant_only_for_common_names() {
    let account = HomeAccountId::new("u", TENANT);
    let realm = |text: &str| {
        resolve(&AuthorityRules::default(), text)
            .unwrap()
            .realm(&account)
    };
    let host = "https://login.microsoftonline.com";
    let guest = "99999999-2222-3333-4444-555555555555";
    assert_eq!(realm(&format!("{host}/{guest}")).as_deref(), Some(guest));
    assert_eq!(realm(&format!("{host}/common")).as_deref(), Some(TENANT));
    assert_eq!(
        realm(&format!("{host}/organizations")).as_deref(),
        Some(TENANT)
    );
    assert_eq!(
        realm(&format!("{host}/consumers")).as_deref(),
        Some(tenant::CONSUMERS)
    );
    assert_eq!(realm(&format!("{host}/contoso.example")), None);
}

#[test]
fn derived_guids_are_stable() {
    // uuid.uuid5(uuid.NAMESPACE_URL, "https://idp.example"), then uuid5 of that and "alice", by Python.
    let tenant = derived_tenant("https://idp.example");
    assert_eq!(tenant.to_string(), "b2d65f7c-fb79-595e-9eb5-7fd2579bff45");
    assert_eq!(
        derived_user(tenant, "alice").to_string(),
        "5de8a303-64ba-57e2-a27a-8a04a2270498"
    );
}
