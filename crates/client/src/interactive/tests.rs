use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use keyward_oauth::transport::UserAgentError;

use crate::account::AccountSelector;
use crate::authority::{AuthorityKind, DpopPolicy};
use crate::binding::Binding;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::{AuthenticationScheme, ParentWindow, Prompt};
use crate::result::{TokenSource, TokenType};
use crate::testing::authority::{GUEST_TENANT, TENANT};
use crate::testing::world::{client, entra, home, pop};
use crate::testing::*;

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sign_in_brings_a_token_and_keeps_what_renews_it() {
    for world in [
        World::openid(Binds::RefreshTokens).await,
        World::entra().await,
    ] {
        let result = world.sign_in("alice").await.unwrap();
        assert_eq!(result.token_source, TokenSource::IdentityProvider);
        assert_eq!(result.account.username, "alice@dev.test");
        assert!(result.access_token.expose_secret().ends_with("alice"));
        assert!(result.id_token.is_some());
        for kind in [
            RecordKind::Account,
            RecordKind::RefreshToken,
            RecordKind::AccessToken,
        ] {
            assert_eq!(world.vault.count(kind), 1, "{kind:?}");
        }
        world.expire();
        world.token("a b").await.unwrap();
        assert_eq!(world.agent.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_authorize_url_says_what_was_asked_for() {
    let world = World::openid(Binds::RefreshTokens).await;
    let mut request = world.interactive("a b");
    request.prompt = Some(Prompt::SelectAccount);
    request.login_hint = Some("alice@dev.test".to_owned());
    request.token.claims = Some(r#"{"id_token":{}}"#.to_owned());
    request
        .token
        .extra_parameters
        .insert("domain_hint".to_owned(), "dev.test".to_owned());
    request
        .token
        .extra_parameters
        .insert("state".to_owned(), "not yours".to_owned());
    request.window = ParentWindow::Handle(0x1f);
    world.show(request).await.unwrap();
    let shown = world.agent.last_shown();
    assert_eq!(shown["scope"], "openid profile offline_access a b");
    assert_eq!(shown["prompt"], "select_account");
    assert_eq!(shown["login_hint"], "alice@dev.test");
    assert_eq!(shown["claims"], r#"{"id_token":{}}"#);
    assert_eq!(shown["domain_hint"], "dev.test");
    assert_ne!(shown["state"], "not yours");
    assert!(shown.contains_key("dpop_jkt"));
    let options = world.agent.options.lock().unwrap();
    assert_eq!(options[0].parent.as_deref(), Some("x11:1f"));
    assert_eq!(options[0].caller.as_deref(), Some("app"));
}

#[tokio::test]
async fn windows_that_are_none_are_no_parent() {
    let world = World::openid(Binds::RefreshTokens).await;
    for window in [
        ParentWindow::Handle(0),
        ParentWindow::Handle(1),
        ParentWindow::None,
    ] {
        let mut request = world.interactive("a");
        request.window = window;
        world.show(request).await.unwrap();
    }
    let options = world.agent.options.lock().unwrap();
    assert!(options.iter().all(|options| options.parent.is_none()));
}

#[tokio::test]
async fn entra_gets_its_own_parameters_and_no_others() {
    let world = World::entra().await;
    world.sign_in("alice").await.unwrap();
    let shown = world.agent.last_shown();
    assert_eq!(shown["client_info"], "1");
    assert!(!shown.contains_key("dpop_jkt"));
    let form = world.authority.last_form();
    assert_eq!(form["scope"], "openid profile offline_access a b");
    assert_eq!(world.keys.count(), 0);
}

#[tokio::test]
async fn a_sign_in_at_a_guest_tenant_is_the_same_account_elsewhere() {
    let world = World::entra().await;
    let mut request = world.interactive("a");
    request.token.authority = entra(GUEST_TENANT);
    let guest = world.show(request).await.unwrap();
    assert_eq!(guest.account.tenant_id, GUEST_TENANT);
    assert_eq!(guest.account.home_account_id, home("alice"));
    let at_home = world.token("a").await.unwrap();
    assert_eq!(at_home.account.tenant_id, TENANT);
    assert_eq!(at_home.token_source, TokenSource::IdentityProvider);
}

#[tokio::test]
async fn the_person_who_signs_in_must_be_the_one_asked_for() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let alice = world.token("a").await.unwrap().account.home_account_id;
    let records = world.vault.records.lock().unwrap().len();
    world.agent.becomes(Person::SignsIn("bob"));
    for account in [
        AccountSelector::Home(alice),
        AccountSelector::Username("Alice@dev.test".to_owned()),
    ] {
        let mut request = world.interactive("a");
        request.account = Some(account);
        let error = world.show(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccountSwitch);
        assert_eq!(
            world.agent.last_shown()["login_hint"].to_lowercase(),
            "alice@dev.test"
        );
    }
    assert_eq!(
        world.vault.records.lock().unwrap().len(),
        records,
        "nothing of bob was kept"
    );
    until(|| world.keys.count() == 1).await;
    let mut hinted = world.interactive("a");
    hinted.login_hint = Some("alice@dev.test".to_owned());
    let result = world.show(hinted).await.expect("a hint is only a hint");
    assert_eq!(result.account.username, "bob@dev.test");
}

#[tokio::test]
async fn whatever_ends_a_sign_in_is_named_and_leaves_no_key_behind() {
    for (person, kind) in [
        (Person::Closes, ErrorKind::UserCanceled),
        (Person::Refuses("access_denied"), ErrorKind::UserCanceled),
        (
            Person::Refuses("login_required"),
            ErrorKind::InteractionRequired,
        ),
        (
            Person::Refuses("server_error"),
            ErrorKind::ServerTemporarilyUnavailable,
        ),
        (
            Person::Refuses("unauthorized_client"),
            ErrorKind::IncorrectConfiguration,
        ),
        (Person::IsTricked, ErrorKind::InvalidResponse),
    ] {
        let world = World::openid(Binds::RefreshTokens).await;
        world.agent.becomes(person);
        let error = world.show(world.interactive("a")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{person:?}");
        assert_eq!(world.authority.posts(), 0);
        until(|| world.keys.count() == 0).await;
    }
}

#[tokio::test]
async fn where_nothing_can_be_shown_the_error_says_so() {
    let world = World::openid(Binds::RefreshTokens).await;
    let none = UserAgentError::Unavailable("no display".to_owned());
    *world.agent.unavailable.lock().unwrap() = Some(none);
    let error = world.show(world.interactive("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("no display"));
    let mut request = world.interactive("a");
    request.token.redirect_uri = Some("no url".to_owned());
    let error = world.show(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_redirect_uri_the_authority_refuses_is_a_matter_of_configuration() {
    let world = World::entra().await;
    let body = r#"{"error":"invalid_request","error_description":"AADSTS50011: The redirect URI"}"#;
    world
        .authority
        .fault(Fault::Answer(400, None, body.to_owned()));
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("http://localhost"), "{error}");
    assert_eq!(error.authority().unwrap().codes, [50011]);
}

#[tokio::test]
async fn a_code_that_is_refused_does_not_ask_to_sign_in_again() {
    let world = World::openid(Binds::RefreshTokens).await;
    let body = r#"{"error":"invalid_grant"}"#;
    world
        .authority
        .fault(Fault::Answer(400, None, body.to_owned()));
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_nobody_finishes_ends_at_its_deadline() {
    let world = World::openid(Binds::RefreshTokens).await;
    let _never = world.agent.hesitates();
    let mut request = world.interactive("a");
    request.deadline = None;
    let begun = tokio::time::Instant::now();
    let error = world.show(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(begun.elapsed().as_secs(), 285);
    assert!(error.is_retryable());
    until(|| world.agent.open.load(Ordering::SeqCst) == 0 && world.keys.count() == 0).await;
    request.deadline = Some(Duration::from_secs(3));
    world.show(request).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 288);
}

#[tokio::test]
async fn a_caller_who_leaves_closes_the_window() {
    let world = World::openid(Binds::RefreshTokens).await;
    let _never = world.agent.hesitates();
    {
        let mut caller = std::pin::pin!(world.show(world.interactive("a")));
        tokio::select! {
            _ = &mut caller => panic!("nobody signed in"),
            () = until(|| world.agent.shows() == 1) => {}
        }
    }
    until(|| world.agent.open.load(Ordering::SeqCst) == 0 && world.keys.count() == 0).await;
    assert_eq!(world.engine.renewals_in_progress(), 0);
}

#[tokio::test]
async fn requests_for_the_same_share_one_sign_in() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let callers = join_all((0..10).map(|_| world.show(world.interactive("a b"))));
    let (results, ()) = tokio::join!(callers, async {
        until(|| world.agent.shows() == 1).await;
        go.add_permits(10);
    });
    assert_eq!((world.agent.shows(), world.authority.posts()), (1, 1));
    assert!(results.iter().all(Result::is_ok));
}

#[tokio::test]
async fn one_of_two_who_leaves_does_not_close_the_others_window() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let stays = world.show(world.interactive("a"));
    let leaves = async {
        let one = tokio::time::timeout(
            Duration::from_millis(20),
            world.show(world.interactive("a")),
        );
        assert!(one.await.is_err());
        go.add_permits(1);
    };
    let (result, ()) = tokio::join!(stays, leaves);
    result.unwrap();
    assert_eq!(world.agent.shows(), 1);
}

#[tokio::test]
async fn requests_for_anything_else_wait_and_are_never_shown_together() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let mut requests = vec![world.interactive("a"); 6];
    requests[1].token.client_id = client("other");
    requests[2].token.claims = Some("{}".to_owned());
    requests[3].prompt = Some(Prompt::Login);
    requests[4].token.scheme = AuthenticationScheme::Dpop(None);
    requests[5].account = Some(AccountSelector::Username("alice@dev.test".to_owned()));
    let callers = join_all(requests.into_iter().map(|request| world.show(request)));
    let (results, ()) = tokio::join!(callers, async {
        until(|| world.agent.shows() == 1).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.agent.shows(), 1, "the others wait");
        go.add_permits(100);
    });
    for result in results {
        result.unwrap();
    }
    assert_eq!(world.agent.most_open.load(Ordering::SeqCst), 1);
    // The last is answered silently: it is for alice, who signed in to this client meanwhile. So is
    // the one for a bound token.
    assert_eq!(world.agent.shows(), 4);
}

#[tokio::test]
async fn who_waited_for_fewer_scopes_is_answered_without_a_prompt() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let (more, fewer, ()) = tokio::join!(
        world.show(world.interactive("a b")),
        world.show(world.interactive("a")),
        async {
            until(|| world.agent.shows() == 1).await;
            go.add_permits(10);
        }
    );
    more.unwrap();
    assert_eq!(fewer.unwrap().token_source, TokenSource::Cache);
    assert_eq!(world.agent.shows(), 1);
}

#[tokio::test]
async fn who_leaves_the_queue_is_never_shown() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let first = world.show(world.interactive("a"));
    let second = async {
        let one = tokio::time::timeout(
            Duration::from_millis(20),
            world.show(world.interactive("b")),
        );
        assert!(one.await.is_err());
        go.add_permits(10);
    };
    let (result, ()) = tokio::join!(first, second);
    result.unwrap();
    world.show(world.interactive("c")).await.unwrap();
    let shown = world.agent.shown.lock().unwrap();
    assert!(shown.iter().all(|page| !page["scope"].ends_with(" b")));
}

#[tokio::test]
async fn once_the_code_is_redeemed_the_sign_in_is_kept_even_if_everybody_left() {
    let mut world = World::openid(Binds::RefreshTokens).await;
    let gate = world.authority.stall();
    {
        let mut caller = std::pin::pin!(world.show(world.interactive("a")));
        tokio::select! {
            _ = &mut caller => panic!("the authority does not answer"),
            () = until(|| world.authority.posts() == 1) => {}
        }
    }
    gate.add_permits(1);
    until(|| world.vault.count(RecordKind::RefreshToken) == 1).await;
    world.restart().await;
    world.token("a").await.unwrap();
    assert_eq!(world.keys.count(), 1);
}

#[tokio::test]
async fn prompt_none_shows_nothing() {
    let world = World::openid(Binds::RefreshTokens).await;
    let mut request = world.interactive("a");
    request.prompt = Some(Prompt::None);
    let error = world.show(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert_eq!(world.agent.shows(), 0);
    world.sign_in("alice").await.unwrap();
    world.show(request).await.unwrap();
    assert_eq!(world.agent.shows(), 1);
}

#[tokio::test]
async fn signing_in_again_replaces_the_refresh_token_and_its_key() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    for _ in 0..3 {
        world.sign_in("alice").await.unwrap();
        assert_eq!(world.vault.count(RecordKind::RefreshToken), 1);
        assert_eq!(world.keys.count(), 1);
    }
    world.expire();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn signing_in_for_other_scopes_keeps_the_first_refresh_token() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.show(world.interactive("c")).await.unwrap();
    world.expire();
    for scopes in ["a", "c", "b", "c"] {
        world
            .token(scopes)
            .await
            .unwrap_or_else(|error| panic!("{scopes}: {error}"));
        world.expire();
    }
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 2);
}

#[tokio::test]
async fn a_bound_answer_is_an_error_for_a_bearer_caller_and_costs_no_second_sign_in() {
    let world = World::openid(Binds::Everything).await;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let result = world
        .engine
        .silent(request)
        .await
        .expect("the sign-in was kept");
    assert_eq!(
        (result.token_type, result.token_source),
        (TokenType::Dpop, TokenSource::Cache)
    );
    assert_eq!(result.binding, Binding::Dpop);
}

#[tokio::test]
async fn dpop_can_be_demanded_and_forbidden() {
    let required = |binds| {
        World::with(AuthorityKind::OpenId, binds, |rule| {
            rule.dpop = DpopPolicy::Required;
        })
    };
    let world = required(Binds::Nothing).await;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert_eq!(world.agent.shows(), 0, "before anybody is asked");
    required(Binds::RefreshTokens)
        .await
        .sign_in("alice")
        .await
        .unwrap();

    let off = |rule: &mut crate::authority::AuthorityRule| rule.dpop = DpopPolicy::Off;
    let world = World::with(AuthorityKind::OpenId, Binds::Everything, off).await;
    world.sign_in("alice").await.unwrap();
    assert_eq!(world.keys.count(), 0);
    let mut request = world.interactive("a");
    request.token.scheme = pop("n");
    let error = world.show(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert_eq!(world.agent.shows(), 1, "before anybody is asked");
}

#[tokio::test]
async fn an_answer_without_an_id_token_signs_nobody_in() {
    let world = World::openid(Binds::RefreshTokens).await;
    for change in [
        |body: &mut serde_json::Value| body["id_token"] = serde_json::Value::Null,
        |body: &mut serde_json::Value| body["id_token"] = "e30.e30.e30".into(),
    ] {
        world.authority.fault(Fault::Changed(change));
        let error = world.sign_in("alice").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
    assert!(world.vault.records.lock().unwrap().is_empty());
    until(|| world.keys.count() == 0).await;
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.vault.broken.store(true, Ordering::SeqCst);
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    world.vault.broken.store(false, Ordering::SeqCst);
    assert!(world.engine.accounts(&client("app")).unwrap().is_empty());
    until(|| world.keys.count() == 0).await;
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_serves_until_it_ends() {
    let world = World::openid(Binds::RefreshTokens).await;
    world.authority.fault(Fault::Changed(|body| {
        body["refresh_token"] = serde_json::Value::Null;
    }));
    world.sign_in("alice").await.unwrap();
    world.token("a").await.unwrap();
    until(|| world.keys.count() == 0).await;
    world.expire();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
}
