use std::sync::atomic::Ordering;

use super::*;
use crate::testing::{Binds, World};

async fn with_pin() -> World {
    let world = World::openid(Binds::RefreshTokens).await;
    *world.keys.pin.lock().unwrap() = Some("1234");
    world
}

impl World {
    fn types(&self, pins: &[&'static str]) {
        self.agent.types.lock().unwrap().extend(pins);
    }

    /// As after a while.
    fn lock(&self) {
        self.keys.unlocked.store(false, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_silent_request_that_needs_the_pin_says_so_and_asks_nobody() {
    let world = with_pin().await;
    world.types(&["1234"]);
    let world = world.signed_in().await;
    assert!(world.agent.asked.lock().unwrap()[0].new);
    world.expire();
    world.lock();
    let error = world.token("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert!(error.message().contains("wants its PIN"), "{error}");
    assert_eq!(world.agent.asked.lock().unwrap().len(), 1);

    // With the PIN alone, nobody has to sign in again.
    let shows = world.agent.shows();
    world.types(&["1234"]);
    world.show(world.interactive("a b")).await.unwrap();
    assert_eq!(world.agent.shows(), shows);
    assert!(!world.agent.asked.lock().unwrap()[1].new);
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn a_wrong_pin_is_said_to_be_wrong_and_counts() {
    let world = with_pin().await;
    world.types(&["0000", "1234"]);
    let world = world.signed_in().await;
    {
        let asked = world.agent.asked.lock().unwrap();
        assert_eq!((asked[0].wrong, asked[0].attempts_left), (false, None));
        assert_eq!((asked[1].wrong, asked[1].attempts_left), (true, Some(3)));
    }
    world.lock();
    world.types(&["1", "2", "3", "1234"]);
    let error = world.sign_in("bob").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled);
    assert!(error.message().contains("locks itself"), "{error}");
    assert_eq!(world.agent.asked.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn whoever_does_not_give_the_pin_is_shown_no_sign_in() {
    let world = with_pin().await;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled);
    assert_eq!(world.agent.shows(), 0);
    assert_eq!(world.keys.count(), 0);
}

#[tokio::test]
async fn where_no_key_is_needed_no_pin_is_asked_for() {
    let world = World::entra().await;
    *world.keys.pin.lock().unwrap() = Some("1234");
    let world = world.signed_in().await;
    assert!(world.agent.asked.lock().unwrap().is_empty());
}
