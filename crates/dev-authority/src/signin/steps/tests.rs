use std::time::Duration;

use keyward_oauth::scope::Scopes;

use super::*;
use crate::signin::ask::{CodeRequest, Purpose};
use crate::signin::prompt::Prompt;
use crate::signin::redirect::{RedirectTarget, ResponseMode};
use crate::tenant::Tenant;

const NOW: UnixTime = UnixTime::from_secs(10_000);

fn ask(prompt: &str, login_hint: Option<&str>) -> Ask {
    Ask {
        tenant: Tenant::Entra,
        client_id: "app".to_owned(),
        scopes: Scopes::parse("openid"),
        prompt: Prompt::parse(prompt).unwrap(),
        login_hint: login_hint.map(str::to_owned),
        max_age: None,
        purpose: Purpose::Code(Box::new(CodeRequest {
            target: RedirectTarget {
                redirect_uri: "http://localhost".to_owned(),
                response_mode: ResponseMode::Query,
                state: None,
            },
            challenge: String::new(),
            nonce: None,
            dpop_jkt: None,
            claims: None,
            client_info: false,
            twist: None,
        })),
    }
}

fn next_after_consent(ask: &Ask, progress: &Progress, signed_in: &[SignedIn]) -> Step {
    next(ask, progress, signed_in, |_| true, NOW)
}

fn alice() -> SignedIn {
    who("alice@dev.test")
}

fn who(user_name: &str) -> SignedIn {
    SignedIn {
        tenant: Tenant::Entra,
        user_name: user_name.to_owned(),
        auth_time: NOW,
    }
}

#[test]
fn a_fresh_browser_is_asked_for_name_password_and_consent() {
    let ask = ask("", None);
    let mut progress = Progress::default();
    assert_eq!(next(&ask, &progress, &[], |_| false, NOW), Step::UserName);
    let user_name = "alice@dev.test".to_owned();
    progress.chosen = Some(Chosen {
        user_name: user_name.clone(),
        auth_time: None,
    });
    let step = next(&ask, &progress, &[], |_| false, NOW);
    assert_eq!(
        step,
        Step::Password {
            user_name: user_name.clone()
        }
    );
    progress.chosen = Some(Chosen {
        user_name: user_name.clone(),
        auth_time: Some(NOW),
    });
    let step = next(&ask, &progress, &[alice()], |_| false, NOW);
    assert_eq!(
        step,
        Step::Consent {
            user_name: user_name.clone()
        }
    );
    progress.consented = true;
    let step = next(&ask, &progress, &[alice()], |_| false, NOW);
    assert_eq!(
        step,
        Step::Done {
            user_name,
            auth_time: NOW
        }
    );
}

#[test]
fn one_signed_in_account_is_used_and_several_are_offered() {
    let both = [alice(), who("bob@dev.test")];
    let fresh = Progress::default();
    let done = Step::Done {
        user_name: "alice@dev.test".to_owned(),
        auth_time: NOW,
    };
    assert_eq!(next_after_consent(&ask("", None), &fresh, &both[..1]), done);
    assert_eq!(
        next_after_consent(&ask("", Some("ALICE@dev.test")), &fresh, &both),
        done
    );
    let pick = Step::PickAccount(both.to_vec());
    assert_eq!(next_after_consent(&ask("", None), &fresh, &both), pick);
    assert_eq!(
        next_after_consent(&ask("", Some("carol@dev.test")), &fresh, &both),
        Step::UserName
    );
}

#[test]
fn prompts_ask_although_somebody_is_signed_in() {
    let (fresh, signed_in) = (Progress::default(), [alice()]);
    let step = |prompt| next_after_consent(&ask(prompt, None), &fresh, &signed_in);
    assert_eq!(step("login"), Step::UserName);
    assert_eq!(
        step("select_account"),
        Step::PickAccount(signed_in.to_vec())
    );
    assert_eq!(step("create"), Step::CreateAccount);
    assert_eq!(
        step("consent"),
        Step::Consent {
            user_name: "alice@dev.test".to_owned()
        }
    );
    let other = Progress {
        wants_other: true,
        ..Progress::default()
    };
    assert_eq!(
        next_after_consent(&ask("select_account", None), &other, &signed_in),
        Step::UserName
    );
}

#[test]
fn an_old_sign_in_does_not_do_for_max_age() {
    let old = SignedIn {
        auth_time: NOW.minus(Duration::from_secs(61)),
        ..alice()
    };
    let ask = Ask {
        max_age: Some(Duration::from_secs(60)),
        ..ask("", None)
    };
    let step = next_after_consent(&ask, &Progress::default(), &[old]);
    assert_eq!(
        step,
        Step::Password {
            user_name: "alice@dev.test".to_owned()
        }
    );
}

#[test]
fn a_device_is_confirmed_even_if_consent_was_given() {
    let purpose = Purpose::Device {
        user_code: "BCDFGHJK".to_owned(),
    };
    let ask = Ask {
        purpose,
        ..ask("", None)
    };
    let step = next_after_consent(&ask, &Progress::default(), &[alice()]);
    assert_eq!(
        step,
        Step::Consent {
            user_name: "alice@dev.test".to_owned()
        }
    );
}
