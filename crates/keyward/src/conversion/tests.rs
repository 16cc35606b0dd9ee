use super::*;
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_client::request::{ParentWindow, Prompt};

fn application() -> Application {
    Application::parse(&AuthOptions {
        client_id: "client-1".to_owned(),
        ..AuthOptions::default()
    })
    .unwrap()
}

fn alice() -> AccountInfo {
    AccountInfo {
        home_account_id: HomeAccountId::new("alice", "dev"),
        environment: "login.microsoftonline.com".to_owned(),
        tenant_id: "dev".to_owned(),
        local_account_id: "alice".to_owned(),
        username: "alice@dev.test".to_owned(),
        name: None,
        given_name: None,
        family_name: None,
    }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, AcquireTokenError>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_configuration_needs_a_client_id_and_a_url() {
    let without_client = AuthOptions::default();
    assert_eq!(
        kind_of(Application::parse(&without_client)),
        ErrorKind::IncorrectConfiguration
    );
    for authority in ["", "contoso", "ftp://a.example", "https://a.example/t?x=1"] {
        let auth = AuthOptions {
            client_id: "c".to_owned(),
            authority: authority.to_owned(),
        };
        assert_eq!(
            kind_of(Application::parse(&auth)),
            ErrorKind::IncorrectConfiguration,
            "{authority}"
        );
    }
}

#[test]
fn a_silent_request_names_its_account_by_account_then_by_hint() {
    let by_account = SilentFlowRequest {
        account: Some(alice()),
        login_hint: Some("bob@dev.test".to_owned()),
        ..Default::default()
    };
    let by_hint = SilentFlowRequest {
        login_hint: Some("bob@dev.test".to_owned()),
        ..Default::default()
    };
    let selector = |request| application().silent(request).unwrap().account;

    assert_eq!(
        selector(by_account),
        AccountSelector::Home(alice().home_account_id)
    );
    assert_eq!(
        selector(by_hint),
        AccountSelector::Username("bob@dev.test".to_owned())
    );
    assert_eq!(
        selector(SilentFlowRequest::default()),
        AccountSelector::Only
    );
}

#[test]
fn force_refresh_bypasses_the_cache() {
    let forced = SilentFlowRequest::builder(["a"])
        .force_refresh(true)
        .build();
    let usual = SilentFlowRequest::builder(["a"]).build();
    assert!(matches!(
        application().silent(forced).unwrap().cache,
        CachePolicy::ForceRefresh
    ));
    assert!(matches!(
        application().silent(usual).unwrap().cache,
        CachePolicy::UseCache
    ));
}

#[test]
fn every_field_of_an_interactive_request_arrives() {
    let correlation_id = new_correlation_id();
    let request = InteractiveRequest::builder("User.Read Mail.Read")
        .account(alice())
        .authority("https://login.microsoftonline.com/organizations")
        .login_hint("alice@dev.test")
        .prompt(Prompt::Login)
        .claims("{}")
        .redirect_uri("http://localhost/cb")
        .window_handle(crate::WindowHandle::X11(0x77))
        .deadline(Duration::from_secs(9))
        .correlation_id(correlation_id)
        .extra_query_parameters([("domain_hint".to_owned(), "dev.test".to_owned())])
        .build();

    let engine = application()
        .interactive(request, Some(Duration::from_secs(60)))
        .unwrap();

    assert_eq!(
        engine.token.authority,
        "https://login.microsoftonline.com/organizations"
    );
    assert_eq!(engine.token.scopes.to_string(), "User.Read Mail.Read");
    assert_eq!(engine.token.claims.as_deref(), Some("{}"));
    assert_eq!(
        engine.token.redirect_uri.as_deref(),
        Some("http://localhost/cb")
    );
    assert_eq!(engine.token.extra_parameters["domain_hint"], "dev.test");
    assert_eq!(engine.token.correlation_id, correlation_id);
    assert_eq!(
        engine.account,
        Some(AccountSelector::Home(alice().home_account_id))
    );
    assert_eq!(engine.login_hint.as_deref(), Some("alice@dev.test"));
    assert_eq!(engine.prompt, Some(Prompt::Login));
    assert_eq!(engine.window, ParentWindow::Portal("x11:77".to_owned()));
    assert_eq!(engine.deadline, Some(Duration::from_secs(9)));
}

#[test]
fn the_configuration_speaks_where_the_request_is_silent() {
    let engine = application()
        .interactive(InteractiveRequest::default(), Some(Duration::from_secs(60)))
        .unwrap();
    assert_eq!(engine.token.authority, crate::DEFAULT_AUTHORITY);
    assert_eq!(engine.token.client_id.as_str(), "client-1");
    assert_eq!(engine.deadline, Some(Duration::from_secs(60)));
}

#[test]
fn a_bad_authority_in_a_request_is_the_callers_fault() {
    let request = SilentFlowRequest::builder(["a"])
        .authority("nonsense")
        .build();
    assert_eq!(
        kind_of(application().silent(request)),
        ErrorKind::InvalidRequest
    );
}

#[test]
fn pop_needs_a_method_and_a_uri() {
    let complete = SilentFlowRequest::builder(["a"])
        .authentication_scheme(AuthenticationScheme::Pop)
        .resource_request_method("GET")
        .resource_request_uri("https://api.example.com/me")
        .shr_nonce("n1");
    let engine = application().silent(complete.clone().build()).unwrap();
    let engine::AuthenticationScheme::Pop(pop) = engine.token.scheme else {
        panic!("not a signed HTTP request");
    };
    assert_eq!(pop.nonce.as_deref(), Some("n1"));

    for mut incomplete in [complete.clone().build(), complete.build()]
        .into_iter()
        .enumerate()
        .map(|(field, mut request)| {
            match field {
                0 => request.resource_request_method = None,
                _ => request.resource_request_uri = None,
            }
            request
        })
    {
        for scheme in [AuthenticationScheme::Pop, AuthenticationScheme::Dpop] {
            incomplete.authentication_scheme = scheme;
            assert_eq!(
                kind_of(application().silent(incomplete.clone())),
                ErrorKind::InvalidRequest
            );
        }
    }
}

#[test]
fn dpop_works_with_and_without_a_first_target() {
    let without = SilentFlowRequest::builder(["a"])
        .authentication_scheme(AuthenticationScheme::Dpop)
        .build();
    assert_eq!(
        application().silent(without).unwrap().token.scheme,
        engine::AuthenticationScheme::Dpop(None)
    );
    let with = SilentFlowRequest::builder(["a"])
        .authentication_scheme(AuthenticationScheme::Dpop)
        .resource_request_method("get")
        .resource_request_uri("https://api.example.com/me?q=1")
        .build();
    assert_eq!(
        application().silent(with).unwrap().token.scheme,
        engine::AuthenticationScheme::Dpop(Some(engine::ResourceRequest {
            method: "GET".to_owned(),
            uri: "https://api.example.com/me".to_owned(),
            nonce: None,
        }))
    );
}

#[test]
fn a_field_the_scheme_does_not_use_is_refused() {
    let bearer = SilentFlowRequest::builder(["a"])
        .resource_request_method("GET")
        .resource_request_uri("https://api.example.com/me")
        .build();
    let error = application().silent(bearer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.message().contains("resource_request_method"));

    let dpop = SilentFlowRequest::builder(["a"])
        .authentication_scheme(AuthenticationScheme::Dpop)
        .shr_claims("{}")
        .build();
    assert_eq!(
        kind_of(application().silent(dpop)),
        ErrorKind::InvalidRequest
    );
}
