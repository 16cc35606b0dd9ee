//! Refresh tokens of the OpenID tenant: binding, rotation, reuse.

use keyward_dev_authority::users::ALICE;

use crate::app::{App, SCOPE, alice, authority};
use crate::key::Key;

#[tokio::test]
async fn a_thief_without_the_key_gets_nothing_and_breaks_nothing() {
    let running = authority().await;
    let app = App::oidc(&running);
    let first = app.sign_in(&alice(), SCOPE).await;
    let second = app.refresh(first.text("refresh_token"), &[]).await.ok();
    let third = app.refresh(second.text("refresh_token"), &[]).await.ok();

    let thief = App {
        key: Some(Key::new()),
        ..App::oidc(&running)
    };
    let without = App {
        key: None,
        ..App::oidc(&running)
    };
    for stolen in [&first, &second, &third] {
        for thief in [&thief, &without] {
            let refused = thief.refresh(stolen.text("refresh_token"), &[]).await;
            assert_eq!(refused.error(), "invalid_grant");
        }
    }

    app.refresh(third.text("refresh_token"), &[]).await.ok();
}

#[tokio::test]
async fn reuse_with_the_right_key_revokes_the_family() {
    let running = authority().await;
    let app = App::oidc(&running);
    let first = app.sign_in(&alice(), SCOPE).await;
    let second = app.refresh(first.text("refresh_token"), &[]).await.ok();
    let third = app.refresh(second.text("refresh_token"), &[]).await.ok();

    assert_eq!(
        app.refresh(first.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );

    assert_eq!(
        app.refresh(third.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    assert!(running.issued().iter().all(|token| token.revoked));
}

#[tokio::test]
async fn a_client_that_dies_before_it_stores_the_successor_goes_on() {
    let running = authority().await;
    let app = App::oidc(&running);
    let first = app.sign_in(&alice(), SCOPE).await;
    let mut stored = first.text("refresh_token").to_owned();
    for _ in 0..5 {
        app.refresh(&stored, &[]).await.ok(); // the answer is lost
        app.refresh(&stored, &[]).await.ok(); // and again
        stored = app
            .refresh(&stored, &[])
            .await
            .ok()
            .text("refresh_token")
            .to_owned();
    }
}

#[tokio::test]
async fn a_lost_successor_is_no_longer_good_once_another_was_used() {
    let running = authority().await;
    let app = App::oidc(&running);
    let first = app.sign_in(&alice(), SCOPE).await;
    let lost = app.refresh(first.text("refresh_token"), &[]).await.ok();
    let kept = app.refresh(first.text("refresh_token"), &[]).await.ok();
    let next = app.refresh(kept.text("refresh_token"), &[]).await.ok();

    assert_eq!(
        app.refresh(lost.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    assert_eq!(
        app.refresh(next.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
}

#[tokio::test]
async fn an_unbound_client_rotates_as_well() {
    let running = authority().await;
    let app = App {
        key: None,
        ..App::oidc(&running)
    };
    let first = app.sign_in(&alice(), SCOPE).await;
    let second = app.refresh(first.text("refresh_token"), &[]).await.ok();
    let third = app.refresh(second.text("refresh_token"), &[]).await.ok();
    assert_ne!(second.text("refresh_token"), third.text("refresh_token"));
    assert_eq!(
        app.refresh(first.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    assert_eq!(
        app.refresh(third.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
}

#[tokio::test]
async fn the_starter_learns_of_every_refresh_token_and_its_binding() {
    let running = authority().await;
    let app = App::oidc(&running);
    let first = app.sign_in(&alice(), SCOPE).await;
    let second = app.refresh(first.text("refresh_token"), &[]).await.ok();

    let issued = running.issued();

    let texts: Vec<&str> = issued
        .iter()
        .map(|token| token.refresh_token.as_str())
        .collect();
    assert_eq!(
        texts,
        [first.text("refresh_token"), second.text("refresh_token")]
    );
    assert!(
        issued
            .iter()
            .all(|token| token.user == ALICE && !token.revoked)
    );
    assert_eq!(issued[1].jkt, app.key.as_ref().map(Key::jkt));
    assert!(!format!("{issued:?}").contains(texts[0]));
}

#[tokio::test]
async fn an_administrator_revokes_a_user() {
    let running = authority().await;
    let app = App::oidc(&running);
    let tokens = app.sign_in(&alice(), SCOPE).await;
    assert_eq!(running.revoke(ALICE), 1);
    assert_eq!(
        app.refresh(tokens.text("refresh_token"), &[]).await.error(),
        "invalid_grant"
    );
    let again = app.sign_in(&alice(), SCOPE).await;
    app.refresh(again.text("refresh_token"), &[]).await.ok();
}
