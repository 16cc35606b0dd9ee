use std::sync::atomic::Ordering;

use super::*;
use crate::request::AuthenticationScheme;
use crate::request::InteractiveRequest;
use crate::testing::world::resource;
use crate::testing::{Binds, World};

const BOUND: Demands = Demands {
    binding: Some(RequiredBinding::SenderConstrained),
    key_protection: None,
};
const IN_TPM: Demands = Demands {
    binding: None,
    key_protection: Some(KeyProtection::Tpm),
};

fn demanding(world: &World, demands: Demands) -> InteractiveRequest {
    let mut request = world.interactive("a b");
    request.token.demands = demands;
    request
}

/// The refusal of a sign-in that nobody was shown.
async fn refused(world: &World, request: InteractiveRequest) -> String {
    let shown = world.agent.shows();
    let error = world.show(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert_eq!(world.agent.shows(), shown, "{error}");
    assert_eq!(world.keys.count(), 0);
    error.message().to_owned()
}

#[tokio::test]
async fn a_binding_that_cannot_be_is_refused_before_anybody_signs_in() {
    for (world, why) in [
        (World::entra().await, "it is Entra ID"),
        (
            World::openid(Binds::Nothing).await,
            "does not announce DPoP",
        ),
        (
            World::openid(Binds::RefreshTokens).await,
            "verify_binding = true",
        ),
        (
            World::with(AuthorityKind::OpenId, Binds::Everything, |rule| {
                rule.dpop = DpopPolicy::Off;
            })
            .await,
            "dpop = \"off\"",
        ),
    ] {
        let message = refused(&world, demanding(&world, BOUND)).await;
        assert!(message.starts_with("the application demands"), "{message}");
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_binding_that_is_proven_or_said_is_what_was_demanded() {
    let proven = World::with(AuthorityKind::OpenId, Binds::RefreshTokens, |rule| {
        rule.verify_binding = true;
    })
    .await;
    let result = proven.show(demanding(&proven, BOUND)).await.unwrap();
    assert_eq!(result.binding, Some(Binding::Dpop));

    let said = World::openid(Binds::Everything).await;
    let mut request = demanding(&said, BOUND);
    request.token.scheme = AuthenticationScheme::Dpop(Some(resource()));
    assert_eq!(
        said.show(request).await.unwrap().binding,
        Some(Binding::Dpop)
    );
}

#[tokio::test]
async fn a_binding_that_turns_out_to_be_none_is_no_answer() {
    let world = World::with(AuthorityKind::OpenId, Binds::Pretends, |rule| {
        rule.verify_binding = true;
    })
    .await;
    let error = world.show(demanding(&world, BOUND)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncorrectConfiguration);
    assert!(error.message().contains("sealed-at-rest"), "{error}");
}

#[tokio::test]
async fn keys_in_a_tpm_are_demanded_of_sign_ins_and_of_what_is_kept() {
    let world = World::openid(Binds::RefreshTokens).await;
    let message = refused(&world, demanding(&world, IN_TPM)).await;
    assert!(
        message.contains("new keys are made in software"),
        "{message}"
    );
    assert!(
        message.contains("`keyward device rebind --to tpm`"),
        "{message}"
    );

    let world = world.signed_in().await;
    let mut silent = world.silent("a");
    silent.account = crate::account::AccountSelector::Home(
        world.token("a").await.unwrap().account.home_account_id,
    );
    assert!(world.engine.at_hand(&silent).is_some());
    silent.token.demands = IN_TPM;
    assert!(world.engine.at_hand(&silent).is_none());
    let error = world.engine.silent(silent).await.unwrap_err();
    assert!(
        error.message().contains("is elsewhere (software)"),
        "{error}"
    );

    world.keys.in_tpm.store(true, Ordering::SeqCst);
    let result = world.show(demanding(&world, IN_TPM)).await.unwrap();
    assert_eq!(result.key_protection, Some(KeyProtection::Tpm));
    let mut silent = world.silent("a");
    silent.token.demands = IN_TPM;
    world.engine.silent(silent).await.unwrap();
}

#[test]
fn the_stricter_demand_holds() {
    let software = Demands {
        key_protection: Some(KeyProtection::Software),
        ..BOUND
    };
    let both = Demands {
        key_protection: Some(KeyProtection::Tpm),
        ..BOUND
    };
    assert_eq!(software.and(IN_TPM), both);
    assert_eq!(IN_TPM.and(software), both);
    assert!(Demands::default().and(Demands::default()).is_empty());
    let nobody = Demanded::default();
    assert_eq!(
        nobody.and(Demands {
            binding: None,
            ..software
        }),
        nobody
    );
}
