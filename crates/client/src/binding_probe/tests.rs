use crate::authority::AuthorityKind;
use crate::binding::Binding;
use crate::error::ErrorKind;
use crate::ports::RecordKind;
use crate::request::CachePolicy;
use crate::testing::world::until;
use crate::testing::*;

async fn world(binds: Binds) -> World {
    World::with(AuthorityKind::OpenId, binds, |rule| {
        rule.verify_binding = true;
    })
    .await
}

async fn settled(world: &World, keys: usize) {
    until(|| world.keys.count() == keys).await;
}

#[tokio::test]
async fn a_refresh_token_another_key_cannot_redeem_is_bound() {
    for rotates in [true, false] {
        let mut world = world(Binds::RefreshTokens).await;
        world.authority.state().rotates = rotates;
        let result = world.sign_in("alice").await.unwrap();
        assert_eq!(result.binding, Some(Binding::Dpop));
        assert_eq!(
            world.authority.posts(),
            3,
            "the code, the wrong key, the right key"
        );
        settled(&world, 1).await;
        assert_eq!(world.engine.status().accounts[0].binding, Binding::Dpop);
        world.expire();
        world.restart().await;
        assert_eq!(
            world.token("a").await.unwrap().binding,
            Some(Binding::Dpop),
            "remembered"
        );
        assert_eq!(world.authority.posts(), 4, "and not tried again");
    }
}

#[tokio::test]
async fn a_refresh_token_any_key_redeems_is_not() {
    for rotates in [true, false] {
        let world = world(Binds::Pretends).await;
        world.authority.state().rotates = rotates;
        let result = world.sign_in("alice").await.unwrap();
        assert_eq!(result.binding, Some(Binding::SealedAtRest));
        settled(&world, 1).await;
        let mut forced = world.silent("a");
        forced.cache = CachePolicy::ForceRefresh;
        let renewed = world
            .engine
            .silent(forced)
            .await
            .expect("its successor was kept");
        assert_eq!(renewed.binding, Some(Binding::SealedAtRest));
    }
}

#[tokio::test]
async fn a_trial_that_shows_nothing_promises_nothing() {
    let world = world(Binds::RefreshTokens).await;
    world.agent.becomes(Person::SignsIn("alice"));
    let gate = world.authority.stall();
    let sign_in = world.show(world.interactive("a"));
    let script = async {
        until(|| world.authority.posts() > 0).await;
        world
            .authority
            .fault(Fault::Answer(503, None, String::new()));
        gate.add_permits(10);
    };
    let (result, ()) = tokio::join!(sign_in, script);
    assert_eq!(result.unwrap().binding, Some(Binding::SealedAtRest));
    settled(&world, 1).await;
    world.expire();
    world.token("a").await.unwrap();
}

#[tokio::test]
async fn an_authority_that_revokes_for_a_wrong_proof_must_not_be_tried() {
    let world = world(Binds::RefreshTokens).await;
    world.authority.state().revokes_on_wrong_key = true;
    let error = world.sign_in("alice").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(
        error.message().contains("verify_binding = false"),
        "{error}"
    );
    assert_eq!(world.vault.count(RecordKind::RefreshToken), 0);
    settled(&world, 0).await;
}

#[tokio::test]
async fn a_dpop_answer_needs_no_trial() {
    let world = world(Binds::Everything).await;
    let mut request = world.interactive("a");
    request.token.scheme = crate::request::AuthenticationScheme::Dpop(None);
    let result = world.show(request).await.unwrap();
    assert_eq!(result.binding, Some(Binding::Dpop));
    assert_eq!(world.authority.posts(), 1);
}
