//! Redirect URIs that only a window could intercept.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::request::InteractiveRequest;
use crate::testing::world::{client, until};
use crate::testing::*;

const NATIVE: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";
const REFUSAL: &str = r#"<script>$Config={"strServiceExceptionMessage":"AADSTS50011: The redirect URI \u0027http://localhost:4711\u0027 does not match."}</script>"#;

fn registered_as(world: &World, redirect_uri: &str) -> InteractiveRequest {
    let mut request = world.interactive("a");
    request.token.redirect_uri = Some(redirect_uri.to_owned());
    request.login_hint = Some("alice@dev.test".to_owned());
    request
}

#[tokio::test]
async fn the_authority_is_asked_once_whether_loopback_may_take_their_place() {
    for world in [
        World::entra().await,
        World::openid(Binds::RefreshTokens).await,
    ] {
        let request = registered_as(&world, NATIVE);
        world.show(request.clone()).await.unwrap();
        {
            let state = world.authority.state();
            let asked = &state.rehearsed[0];
            assert_eq!(asked["prompt"], "none");
            assert_eq!(asked["redirect_uri"], "http://localhost:4711");
            assert!(!asked.contains_key("login_hint") && !asked.contains_key("dpop_jkt"));
        }
        let shown = world.agent.last_shown();
        assert_eq!(shown["redirect_uri"], "http://localhost:4711");
        assert!(!shown.contains_key("prompt"));
        assert_ne!(
            shown["state"],
            world.authority.state().rehearsed[0]["state"]
        );
        world.show(request.clone()).await.unwrap();
        assert_eq!(world.authority.state().rehearsed.len(), 1);
        let mut other = request;
        other.token.client_id = client("other");
        world.show(other).await.unwrap();
        assert_eq!(world.authority.state().rehearsed.len(), 2);
    }
}

#[tokio::test]
async fn what_is_not_replaced_is_not_asked_about() {
    let world = World::entra().await;
    for redirect_uri in ["", "http://localhost", "http://localhost:1234/"] {
        world
            .show(registered_as(&world, redirect_uri))
            .await
            .unwrap();
    }
    assert!(world.authority.state().rehearsed.is_empty());
}

#[tokio::test]
async fn a_refusal_is_a_matter_of_configuration_and_nothing_is_shown() {
    for (page, codes) in [
        (Rehearsal::Page(200, REFUSAL), vec![50011]),
        (
            Rehearsal::Page(400, "<p>Invalid parameter: redirect_uri</p>"),
            vec![],
        ),
    ] {
        let world = World::openid(Binds::RefreshTokens).await;
        world.authority.state().rehearsal = page;
        let request = registered_as(&world, NATIVE);
        let error = world.show(request.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
        for part in [NATIVE, "http://localhost", "register"] {
            assert!(error.message().contains(part), "{error}");
        }
        let said = error.authority().unwrap();
        assert_eq!(said.codes, codes);
        assert!(said.description.as_deref().unwrap().contains("redirect"));
        assert_eq!((world.agent.shows(), world.authority.posts()), (0, 0));
        until(|| world.keys.count() == 0).await;
        // It was registered meanwhile.
        world.authority.state().rehearsal = Rehearsal::LoginRequired;
        world.show(request).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_does_not_say_shows_the_person_what_it_thinks() {
    for rehearsal in [
        Rehearsal::Page(200, "<form>Sign in</form>"),
        Rehearsal::Page(500, "<h1>Oops</h1>"),
        Rehearsal::Silence,
    ] {
        let world = World::entra().await;
        world.authority.state().rehearsal = rehearsal;
        let begun = tokio::time::Instant::now();
        world.show(registered_as(&world, NATIVE)).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(5));
        assert_eq!(world.agent.shows(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_says_how_far_the_sign_in_came() {
    let world = World::entra().await;
    let _never = world.agent.hesitates();
    let plain = world.show(world.interactive("a")).await.unwrap_err();
    assert!(
        plain
            .message()
            .ends_with("nobody finished the sign-in within 100 s"),
        "{plain}"
    );
    let native = format!("{NATIVE}?a=b");
    let replaced = world.show(registered_as(&world, &native)).await;
    let replaced = replaced.unwrap_err();
    assert_eq!(replaced.kind(), ErrorKind::DeadlineExceeded);
    for part in [NATIVE, "http://localhost", "AADSTS50011", "register"] {
        assert!(replaced.message().contains(part), "{replaced}");
    }
    assert!(!replaced.message().contains("a=b"), "{replaced}");

    let mut waiting = world.interactive("b");
    waiting.deadline = Some(Duration::from_secs(10));
    let (_, waited) = tokio::join!(world.show(world.interactive("a")), world.show(waiting));
    let waited = waited.unwrap_err();
    assert!(waited.message().contains("another one"), "{waited}");
}
