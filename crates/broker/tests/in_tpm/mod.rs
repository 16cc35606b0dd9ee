//! Against a real swtpm.

use keyward_client::result::TokenSource;
use keyward_testkit::tpm::SoftwareTpm;

use super::*;

const IN_TPM: Demands = Demands {
    binding: None,
    key_protection: Some(KeyProtection::Tpm),
};

/// Keys in this TPM, if it can be reached when that is decided.
fn either(tpm: &SoftwareTpm) -> String {
    format!("[tpm]\ntcti = \"{}\"\n", tpm.tcti())
}

async fn alice(machine: &Machine) -> (Arc<ScriptedAgent>, SocketBroker) {
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    (alice, app)
}

#[tokio::test]
async fn a_sign_in_makes_a_key_in_the_tpm_and_the_result_says_so() {
    let tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (_, app) = alice(&machine).await;
    let signed_in = sign_in(&app, IN_TPM).await.unwrap();
    assert_eq!(signed_in.key_protection, Some(KeyProtection::Tpm));
    assert_eq!(signed_in.binding, Some(Binding::Dpop));
    let renewed = renewed(&app).await.unwrap();
    assert_eq!(renewed.token_source, TokenSource::IdentityProvider);

    let report = device(&app).await;
    assert_eq!(report.key_protection, KeyProtection::Tpm);
    assert!(report.device.unwrap().simulator);
    let decision = report.decision.unwrap();
    assert!(
        decision.reason.contains("a TPM can be reached"),
        "{}",
        decision.reason
    );
    assert!(decision.maker.is_some());
    assert!(report.keys[0].starts_with("tpm-"), "{:?}", report.keys);
    assert_eq!(report.accounts[0].key.as_ref(), Some(&report.keys[0]));
    machine.stop().await;
}

#[tokio::test]
async fn a_tpm_that_stands_still_holds_up_nobody_who_needs_nothing_of_it() {
    let tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (_, app) = alice(&machine).await;
    sign_in(&app, IN_TPM).await.unwrap();

    tpm.stall();
    let waiting = {
        let app = app.clone();
        tokio::spawn(async move { renewed(&app).await })
    };
    for _ in 0..100 {
        let hit = silent(&app, CachePolicy::UseCache).await.unwrap();
        assert_eq!(hit.token_source, TokenSource::Cache);
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    tpm.resume();
    waiting.await.unwrap().unwrap();
    machine.stop().await;
}

#[tokio::test]
async fn a_tpm_that_is_gone_is_a_named_error_until_it_is_back_and_never_software() {
    let mut tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (agent, app) = alice(&machine).await;
    sign_in(&app, IN_TPM).await.unwrap();
    tpm.kill();
    let error = renewed(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error}");
    assert!(error.is_retryable());
    let shown = agent.shown();
    let error = sign_in(&app, Demands::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error}");
    assert_eq!(agent.shown(), shown);
    let hit = silent(&app, CachePolicy::UseCache).await.unwrap();
    assert_eq!(hit.token_source, TokenSource::Cache);
    app.status().await.unwrap();

    tpm.restart();
    renewed(&app).await.unwrap();
    machine.stop().await;
}

#[tokio::test]
async fn a_key_that_is_lost_is_said_once_and_a_sign_in_makes_another() {
    let tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (_, app) = alice(&machine).await;
    sign_in(&app, IN_TPM).await.unwrap();
    tpm.clear();
    let error = renewed(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InteractionRequired, "{error}");
    assert!(error.message().contains("key lost"), "{error}");
    let signed_in = sign_in(&app, IN_TPM).await.unwrap();
    assert_eq!(signed_in.key_protection, Some(KeyProtection::Tpm));
    renewed(&app).await.unwrap();
    machine.stop().await;
}

#[tokio::test]
async fn accounts_move_between_files_and_the_tpm_with_what_is_kept_of_them() {
    let tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&format!("{}pin = \"none\"\n", either(&tpm))).await;
    let (agent, mut app) = alice(&machine).await;
    sign_in(&app, Demands::default()).await.unwrap();
    for to in [KeyProtection::Software, KeyProtection::Tpm] {
        let shown = agent.shown();
        let plan = rebind(&app, Some(to)).await.unwrap();
        assert_eq!((plan.to, plan.steps.len()), (to, 1));
        assert_eq!(agent.shown(), shown + 1);
        app = machine.restart(&either(&tpm), &agent).await;
        let report = device(&app).await;
        assert_eq!((report.key_protection, report.keys.len()), (to, 1));
        assert_eq!(report.accounts[0].key_protection, to);
        assert_eq!(report.problems, [""; 0]);
        assert_eq!(renewed(&app).await.unwrap().key_protection, Some(to));
    }
    machine.stop().await;
}

#[tokio::test]
async fn software_that_was_chosen_for_want_of_a_tpm_offers_to_move_when_there_is_one() {
    let mut tpm = SoftwareTpm::start();
    tpm.kill();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (agent, app) = alice(&machine).await;
    let signed_in = sign_in(&app, Demands::default()).await.unwrap();
    assert_eq!(signed_in.key_protection, Some(KeyProtection::Software));
    tpm.restart();
    let app = machine.restart(&either(&tpm), &agent).await;
    let status = app.status().await.unwrap();
    assert_eq!(status.key_protection, Some(KeyProtection::Software));
    let problems = status.problems.join("\n");
    assert!(problems.contains("a TPM can be reached now"), "{problems}");
    assert!(problems.contains("`keyward device rebind`"), "{problems}");

    rebind(&app, None).await.unwrap();
    assert_eq!(
        device(&app).await.accounts[0].key_protection,
        KeyProtection::Tpm
    );
    assert_eq!(app.status().await.unwrap().problems, [""; 0]);
    machine.stop().await;
}

#[tokio::test]
async fn a_tpm_that_is_gone_at_the_start_is_every_affected_callers_answer_until_it_is_back() {
    let mut tpm = SoftwareTpm::start();
    let mut machine = Machine::with(&either(&tpm)).await;
    let (agent, app) = alice(&machine).await;
    sign_in(&app, IN_TPM).await.unwrap();
    tpm.kill();
    let app = machine.restart(&either(&tpm), &agent).await;
    let error = silent(&app, CachePolicy::UseCache).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::InteractionRequired, "{error}");
    let status = app.status().await.unwrap();
    assert!(!status.problems.is_empty());

    tpm.restart();
    let answered = loop {
        match silent(&app, CachePolicy::UseCache).await {
            Ok(answered) => break answered,
            // It is tried again every few seconds.
            Err(error) => assert_ne!(error.kind(), ErrorKind::InteractionRequired, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(answered.key_protection, Some(KeyProtection::Tpm));
    machine.stop().await;
}

#[tokio::test]
async fn keys_with_a_pin_want_it_from_the_person_and_from_nobody_else() {
    let tpm = SoftwareTpm::start();
    let config = format!("{}pin = \"ask\"\npin_seconds = 1\n", either(&tpm));
    let mut machine = Machine::with(&config).await;
    let (agent, app) = alice(&machine).await;
    let error = sign_in(&app, IN_TPM).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserCanceled);
    assert_eq!(agent.shown(), 0);
    agent.types(&["4711"]);
    sign_in(&app, IN_TPM).await.unwrap();
    assert!(agent.wanted().iter().all(|question| question.new));
    assert_eq!(agent.shown(), 1);

    // When the PIN is forgotten, nobody is asked for it unless they are there.
    let error = loop {
        match renewed(&app).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::InteractionRequired, "{error}");
    assert!(error.message().contains("PIN"), "{error}");
    assert_eq!(agent.wanted().len(), 0);
    assert_eq!(
        silent(&app, CachePolicy::UseCache)
            .await
            .unwrap()
            .token_source,
        TokenSource::Cache
    );

    agent.types(&["0815", "4711"]);
    sign_in(&app, IN_TPM).await.unwrap();
    let wanted: Vec<_> = agent
        .wanted()
        .iter()
        .map(|question| (question.new, question.wrong))
        .collect();
    assert_eq!(wanted, [(false, false), (false, true)]);
    assert_eq!(agent.shown(), 1);
    machine.stop().await;
}
