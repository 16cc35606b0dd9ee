//! What is on record of what was asked, and what callers may ask for over time.

use keyward_client::audit::{AuditPage, AuditQuery, AuditRecord, DONE, Source, Verdict};
use keyward_testkit::Secrets;

use super::*;

/// The records there are.
async fn records(app: &SocketBroker) -> Vec<AuditRecord> {
    let query = AuditQuery {
        limit: AuditQuery::LIMIT,
        ..AuditQuery::default()
    };
    page(app, query).await.records
}

async fn page(app: &SocketBroker, query: AuditQuery) -> AuditPage {
    match app.manage(ManageRequest::Audit(query)).await.unwrap() {
        ManageAnswer::Audit(page) => page,
        other => panic!("{other:?}"),
    }
}

/// Operation, outcome and source of each.
fn outcomes(records: &[AuditRecord]) -> Vec<(&str, &str, Option<Source>)> {
    let outcomes = records.iter();
    outcomes
        .map(|record| (&*record.operation, &*record.outcome, record.source))
        .collect()
}

#[tokio::test]
async fn every_outcome_is_on_record_and_no_secret_is() {
    let machine = Machine::new().await;
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    cached(&app).await.unwrap_err();
    let signed_in = sign_in(&app).await.unwrap();
    let hit = at_hand(&app, &signed_in).await;
    let renewed = renewed(&app).await.unwrap();
    let leaving = ScriptedAgent::new("alice@dev.test", Choice::Cancel);
    let other = machine.application(&leaving).await;
    let prompted = TokenRequest {
        claims: Some(
            "{\"access_token\":{\"acrs\":{\"value\":\"claim-value-on-no-record\"}}}".to_owned(),
        ),
        ..token_request(COMMON)
    };
    sign_in_for(&other, prompted).await.unwrap_err();
    app.sign_out(SignOutRequest {
        client_id: ClientId::parse(CLIENT).unwrap(),
        account: signed_in.account.home_account_id.clone(),
        correlation_id: CorrelationId::from_random([8; 16]),
    })
    .await
    .unwrap();

    let records = records(&app).await;
    assert_eq!(
        outcomes(&records),
        [
            ("acquire_token_silent", "InteractionRequired", None),
            ("acquire_token_interactive", DONE, Some(Source::Network)),
            ("acquire_token_silent", DONE, Some(Source::Cache)),
            ("acquire_token_silent", DONE, Some(Source::Network)),
            (
                "acquire_token_interactive",
                "UserCanceled",
                Some(Source::Network)
            ),
            ("sign_out", DONE, None),
        ]
    );
    let account = records[1].account.clone().unwrap();
    for record in &records[1..] {
        let known = record
            .account
            .as_ref()
            .is_none_or(|known| *known == account);
        assert!(known, "{record:?}");
        // Nothing spoke against it, neither for the hit nor for the others.
        assert_eq!((record.verdict, &record.rule), (Verdict::Allow, &None));
        assert_eq!(record.client_id.as_deref(), Some(CLIENT));
        assert_eq!(record.who.pid, Some(std::process::id()));
        let executable = record.who.executable.as_ref().unwrap();
        assert!(executable.contains("component"), "{executable}");
    }
    assert_eq!(
        records[2].binding.as_deref(),
        Some("sender-constrained:dpop")
    );
    assert_eq!(records[2].key_protection.as_deref(), Some("software"));
    assert_eq!(records[2].scopes, ["api.read"]);
    let asked_as = CorrelationId::from_random([7; 16]).to_string();
    assert_eq!(records[2].correlation_id.as_ref(), Some(&asked_as));
    broker.stop().await;

    let tokens = [&signed_in, &hit, &renewed];
    let issued = machine
        .authority
        .issued()
        .into_iter()
        .map(|issued| issued.refresh_token);
    let person = &signed_in.account;
    let secrets = tokens
        .map(|result| result.access_token.expose_secret().to_owned())
        .into_iter()
        .chain(tokens.map(|result| result.id_token.as_ref().unwrap().expose_secret().to_owned()))
        .chain(issued)
        .chain([
            "claim-value-on-no-record".to_owned(),
            person.home_account_id.as_str().to_owned(),
            person.local_account_id.clone(),
        ]);
    let folder = machine.kept().join("audit");
    assert_eq!(Secrets::new(secrets).in_folder(&folder), []);
    let text = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    assert!(!text.contains("alice"), "{text}");
    // Everything that was shown, and that it was.
    assert_eq!(text.lines().count(), records.len() + 1);
}

/// A hit by the account's id, the quickest way there is.
async fn at_hand(app: &SocketBroker, of: &AuthenticationResult) -> AuthenticationResult {
    let result = app
        .acquire_token_silent(SilentRequest {
            token: token_request(COMMON),
            account: AccountSelector::Home(of.account.home_account_id.clone()),
            cache: CachePolicy::UseCache,
        })
        .await
        .unwrap();
    assert_eq!(result.token_source, TokenSource::Cache);
    result
}

#[tokio::test]
async fn what_a_caller_gives_up_and_what_is_refused_is_on_record() {
    let mut machine = Machine::new().await;
    machine.user_config = "key_protection = \"software\"\nrequire_key_protection = \"tpm\"\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap_err();
    let [denied] = &records(&app).await[..] else {
        panic!("one outcome");
    };
    assert_eq!(denied.verdict, Verdict::Deny);
    assert_eq!(denied.rule.as_deref(), Some("require"));
    assert_eq!(denied.outcome, "IncorrectConfiguration");
    broker.stop().await;

    machine.user_config = "";
    let broker = machine.start();
    let app = machine.application(&alice).await;
    sign_in(&app).await.unwrap();
    let slow = FaultRule {
        endpoint: Endpoint::Token,
        fault: Fault::Slow { ms: 2000 },
        times: Some(1),
        matching: Match::default(),
    };
    machine.authority.fault(slow).unwrap();
    let leaving = machine.application(&alice).await;
    let renewal = tokio::spawn(async move { renewed(&leaving).await });
    while !machine.authority.faults().is_empty() {
        tokio::task::yield_now().await;
    }
    renewal.abort();
    let after = records(&app).await.last().unwrap().seq;
    let cancelled = loop {
        let query = AuditQuery {
            after: Some(after - 1),
            limit: 10,
            ..AuditQuery::default()
        };
        let page = page(&app, query).await;
        let mut given_up = page.records.into_iter();
        if let Some(record) = given_up.find(|record| record.outcome == "ApplicationCanceled") {
            break record;
        }
    };
    assert_eq!(cancelled.operation, "acquire_token_silent");
    broker.stop().await;
}

#[tokio::test]
async fn the_rule_that_lets_a_caller_have_a_token_is_on_record() {
    let mut machine = Machine::new().await;
    machine.user_config = "[[policy.rule]]\nclient_id = \"11111111-*\"\nverdict = \"allow\"\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let signed_in = sign_in(&app).await.unwrap();
    at_hand(&app, &signed_in).await;
    renewed(&app).await.unwrap();
    let records = records(&app).await;
    assert_eq!(records.len(), 3);
    for record in records {
        let rule = record.rule.unwrap_or_default();
        assert!(rule.starts_with("policy.rule[0] ("), "{rule}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn what_reaches_the_authority_is_limited_and_what_is_here_is_not() {
    let mut machine = Machine::new().await;
    machine.user_config = "[limits]\nnetwork_per_minute = 3\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let signed_in = sign_in(&app).await.unwrap();
    renewed(&app).await.unwrap();
    renewed(&app).await.unwrap();
    let error = renewed(&app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests);
    let wait = error.retry_after().unwrap().as_secs();
    assert!((1..=21).contains(&wait), "{wait}");
    let issued = machine.authority.issued().len();
    renewed(&app).await.unwrap_err();
    assert_eq!(machine.authority.issued().len(), issued);
    for _ in 0..100 {
        at_hand(&app, &signed_in).await;
    }
    let records = records(&app).await;
    let refused = records
        .iter()
        .filter(|record| record.outcome == "TooManyRequests");
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0].verdict, Verdict::Deny);
    assert_eq!(refused[0].rule.as_deref(), Some("limits"));
    broker.stop().await;
}

#[tokio::test]
async fn a_caller_who_asks_without_end_is_slowed_down() {
    let mut machine = Machine::new().await;
    machine.user_config = "[limits]\nrequests_per_second = 1\n";
    let broker = machine.start();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    let app = machine.application(&alice).await;
    let signed_in = sign_in(&app).await.unwrap();
    let refused = loop {
        let request = SilentRequest {
            token: token_request(COMMON),
            account: AccountSelector::Home(signed_in.account.home_account_id.clone()),
            cache: CachePolicy::UseCache,
        };
        if let Err(error) = app.acquire_token_silent(request).await {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::TooManyRequests);
    assert!(refused.retry_after().unwrap().as_secs() >= 1);
    broker.stop().await;
    let text = fs::read_to_string(machine.kept().join("audit/audit.jsonl")).unwrap();
    // What may come at once, and a little more for the time that passed.
    let done = text
        .lines()
        .filter(|line| line.contains("\"source\":\"cache\""))
        .count();
    assert!((49..60).contains(&done), "{done} answers");
    assert!(
        text.lines().last().unwrap().contains("\"rule\":\"limits\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_said_and_stops_only_those_who_demand_it() {
    let mut machine = Machine::new().await;
    // This machine's folder is there, and where the record should be, there is something else.
    let broker = machine.start();
    drop(
        machine
            .application(&ScriptedAgent::new("", Choice::Cancel))
            .await,
    );
    broker.stop().await;
    fs::remove_dir_all(machine.kept().join("audit")).unwrap();
    fs::write(machine.kept().join("audit"), "in the way").unwrap();
    let alice = ScriptedAgent::new("alice@dev.test", Choice::Accept);
    for required in [false, true] {
        machine.user_config = if required {
            "[audit]\nrequired = true\n"
        } else {
            ""
        };
        let broker = machine.start();
        let app = machine.application(&alice).await;
        let outcome = sign_in(&app).await;
        if required {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert!(error.message().contains("config.toml:2 demands"), "{error}");
        } else {
            outcome.unwrap();
        }
        let problems = app.status().await.unwrap().problems;
        let said = problems
            .iter()
            .any(|said| said.contains("outcomes cannot be recorded in "));
        assert!(said, "{problems:?}");
        broker.stop().await;
    }
}
