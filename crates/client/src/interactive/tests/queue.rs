//! Joining, waiting, leaving.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use crate::account::AccountSelector;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::{AuthenticationScheme, Prompt};
use crate::result::TokenSource;
use crate::testing::agent::Handle;
use crate::testing::world::{client, until};
use crate::testing::*;

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
async fn a_sign_in_does_not_end_with_another_callers_user_agent() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let other = Arc::new(Handle(Arc::clone(&world.agent)));
    let mut waits = std::pin::pin!(world.engine.interactive(world.interactive("a"), other));
    {
        let mut leaves = std::pin::pin!(world.show(world.interactive("a")));
        tokio::select! {
            biased;
            _ = &mut leaves => panic!("nobody signed in"),
            _ = &mut waits => panic!("nobody signed in"),
            () = until(|| world.agent.shows() == 1) => {}
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.agent.shows(), 1, "the other waits");
    }
    let (result, ()) = tokio::join!(waits, async {
        until(|| world.agent.shows() == 2).await;
        go.add_permits(1);
    });
    result.unwrap();
}

#[tokio::test]
async fn who_waited_for_another_user_agent_is_answered_without_a_prompt() {
    let world = World::openid(Binds::RefreshTokens).await;
    let go = world.agent.hesitates();
    let other = Arc::new(Handle(Arc::clone(&world.agent)));
    let (first, second, ()) = tokio::join!(
        world.show(world.interactive("a")),
        world.engine.interactive(world.interactive("a"), other),
        async {
            until(|| world.agent.shows() == 1).await;
            go.add_permits(10);
        }
    );
    first.unwrap();
    assert_eq!(second.unwrap().token_source, TokenSource::Cache);
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
