use std::time::Duration;

use url::Url;

use keyward_oauth::dpop;
use keyward_oauth::jose::Thumbprint;
use keyward_oauth::secret::AccessToken;
use keyward_oauth::shr;

use crate::account::AccountSelector;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::ports::{BindingKey as _, Clock as _};
use crate::request::{AuthenticationScheme, CachePolicy, DpopProofRequest, ResourceRequest};
use crate::result::{TokenSource, TokenType};
use crate::testing::world::{client, pop, resource};
use crate::testing::*;

/// The key of the one grant there is.
fn only_key(world: &World) -> Thumbprint {
    let keys = world.keys.held.lock().unwrap();
    assert_eq!(keys.len(), 1);
    keys.values().next().unwrap().public_jwk().thumbprint()
}

fn checked_proof(world: &World, proof: &str, token: &AccessToken) -> dpop::check::Proof {
    let expected = dpop::check::ExpectedProof {
        method: "GET",
        url: &Url::parse("https://api.example/me").unwrap(),
        access_token: Some(token),
        max_age: Duration::from_secs(10),
        leeway: Duration::from_secs(0),
    };
    dpop::check::check(proof, &expected, world.clock.now()).unwrap()
}

fn checked_request(world: &World, text: &str) -> shr::check::CheckedRequest {
    let expected = shr::check::ExpectedRequest {
        method: "GET",
        host: "api.example",
        path: "/me",
        max_age: Duration::from_secs(10),
        leeway: Duration::from_secs(0),
    };
    shr::check::check(text, &expected, world.clock.now()).unwrap()
}

async fn prove(world: &World, token: &AccessToken) -> Result<String, AcquireTokenError> {
    let request = DpopProofRequest {
        client_id: client("app"),
        access_token: token.clone(),
        resource: resource(),
    };
    world.engine.dpop_proof(request).await
}

#[tokio::test]
async fn a_pop_request_gets_a_finished_signed_request_by_the_bound_key() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    let mut inner = None;
    for nonce in ["n-1", "n-2"] {
        request.token.scheme = pop(nonce);
        let result = world.engine.silent(request.clone()).await.unwrap();
        assert_eq!(result.token_type, TokenType::Pop);
        let signed = checked_request(&world, result.access_token.expose_secret());
        assert_eq!(signed.nonce.as_deref(), Some(nonce));
        assert_eq!(signed.jkt, only_key(&world));
        let token = signed.access_token.expose_secret().to_owned();
        assert_eq!(
            *inner.get_or_insert_with(|| token.clone()),
            token,
            "one token, many requests"
        );
    }
    assert_eq!(world.authority.last_form()["token_type"], "DPoP");
}

#[tokio::test]
async fn entra_is_asked_for_a_token_bound_to_a_key_that_stays() {
    let world = World::entra().await.signed_in().await;
    assert_eq!(world.keys.count(), 0);
    let mut request = world.silent("a");
    request.token.scheme = pop("n");
    let result = world.engine.silent(request.clone()).await.unwrap();
    let form = world.authority.last_form();
    let key = only_key(&world);
    assert_eq!(
        (&*form["token_type"], &form["req_cnf"]),
        ("pop", &shr::req_cnf(&key))
    );
    assert_eq!(
        checked_request(&world, result.access_token.expose_secret()).jkt,
        key
    );
    let again = world.engine.silent(request.clone()).await.unwrap();
    assert_eq!(again.token_source, TokenSource::Cache);
    world.expire();
    world.engine.silent(request).await.unwrap();
    assert_eq!(only_key(&world), key);
    let bearer = world.token("a").await.unwrap();
    assert_eq!(bearer.token_type, TokenType::Bearer);
}

#[tokio::test]
async fn an_interactive_pop_request_is_answered_the_same_way() {
    for world in [
        World::entra().await,
        World::openid(Binds::RefreshTokens).await,
    ] {
        let mut request = world.interactive("a");
        request.token.scheme = pop("n");
        let result = world.show(request).await.unwrap();
        let signed = checked_request(&world, result.access_token.expose_secret());
        assert_eq!(signed.jkt, only_key(&world));
    }
}

#[tokio::test]
async fn a_pop_request_that_gets_a_bearer_token_is_a_typed_error() {
    let world = World::entra().await.signed_in().await;
    world
        .authority
        .fault(Fault::Changed(|body| body["token_type"] = "Bearer".into()));
    let mut request = world.silent("a");
    request.token.scheme = pop("n");
    let error = world.engine.silent(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    world.engine.silent(request).await.unwrap();
    assert_eq!(world.keys.count(), 1);
}

#[tokio::test]
async fn a_dpop_request_with_a_target_carries_its_first_proof() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(Some(resource()));
    let result = world.engine.silent(request).await.unwrap();
    assert_eq!(result.token_type, TokenType::Dpop);
    let proof = checked_proof(&world, &result.dpop_proof.unwrap(), &result.access_token);
    assert_eq!(proof.jkt, only_key(&world));
    assert_eq!(proof.nonce, None);
}

#[tokio::test]
async fn proofs_are_made_for_tokens_issued_to_this_client_from_here_and_no_others() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let token = world
        .engine
        .silent(request.clone())
        .await
        .unwrap()
        .access_token;
    let proof = prove(&world, &token).await.unwrap();
    assert_eq!(checked_proof(&world, &proof, &token).jkt, only_key(&world));
    assert_ne!(prove(&world, &token).await.unwrap(), proof);

    let bearer = world.token("a").await.unwrap().access_token;
    for other in [bearer, AccessToken::new("forged".to_owned())] {
        let error = prove(&world, &other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(!error.message().contains("forged"));
    }
    let theirs = DpopProofRequest {
        client_id: client("other"),
        access_token: token.clone(),
        resource: resource(),
    };
    let error = world.engine.dpop_proof(theirs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);

    request.cache = CachePolicy::ForceRefresh;
    world.engine.silent(request).await.unwrap();
    prove(&world, &token)
        .await
        .expect("the replaced token still lasts");
    world.expire();
    assert!(prove(&world, &token).await.is_err());
}

#[tokio::test]
async fn a_resources_nonce_is_used_and_remembered_for_its_origin() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = AuthenticationScheme::Dpop(None);
    let token = world.engine.silent(request).await.unwrap().access_token;
    let with = |nonce: Option<&str>| DpopProofRequest {
        client_id: client("app"),
        access_token: token.clone(),
        resource: ResourceRequest {
            nonce: nonce.map(str::to_owned),
            ..resource()
        },
    };
    for (given, expected) in [(Some("n-1"), "n-1"), (None, "n-1"), (Some("n-2"), "n-2")] {
        let proof = world.engine.dpop_proof(with(given)).await.unwrap();
        let proof = checked_proof(&world, &proof, &token);
        assert_eq!(proof.nonce.as_deref(), Some(expected));
    }
    let mut nowhere = with(None);
    nowhere.resource.uri = "/me".to_owned();
    let error = world.engine.dpop_proof(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_key_lost_under_a_cached_bound_token_asks_for_a_person_once() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = pop("n");
    world.engine.silent(request.clone()).await.unwrap();
    world.keys.lose_all();
    let error = world.engine.silent(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired);
    assert!(error.message().contains("lost"), "{error}");
    let error = world.engine.silent(request).await.unwrap_err();
    assert!(!error.message().contains("lost"), "{error}");
}

#[tokio::test]
async fn entra_needs_nobody_when_a_pop_key_is_lost() {
    let world = World::entra().await.signed_in().await;
    let mut request = world.silent("a");
    request.token.scheme = pop("n");
    world.engine.silent(request.clone()).await.unwrap();
    world.keys.lose_all();
    world
        .engine
        .silent(request.clone())
        .await
        .expect("a new key does");
    world.keys.lose_all();
    world.expire();
    world
        .engine
        .silent(request)
        .await
        .expect("also when the token has ended");
    assert_eq!(world.keys.count(), 1);
}

#[tokio::test]
async fn two_accounts_of_one_client_sign_with_their_own_keys() {
    let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
    world.sign_in("bob").await.unwrap();
    let of = |user: &str| {
        let mut request = world.silent("a");
        request.token.scheme = pop("n");
        request.account = AccountSelector::Username(format!("{user}@dev.test"));
        world.engine.silent(request)
    };
    let (alice, bob) = (of("alice").await.unwrap(), of("bob").await.unwrap());
    let alice = checked_request(&world, alice.access_token.expose_secret());
    let bob = checked_request(&world, bob.access_token.expose_secret());
    assert_ne!(alice.jkt, bob.jkt);
}
