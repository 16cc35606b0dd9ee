//! A TPM that fails: whoever needs it is told what is wrong, everybody else is served, and when it is
//! back nobody has to restart anything.

use std::time::{Duration, Instant};

use keyward_e2e::stack::KEYWARD_NAME;
use keyward_e2e::typed::TypedError;
use keyward_e2e::{ALICE, BOB, Person, SOON, Stack, Tenant, Typed, cli};
use keyward_testkit::wait;

/// Her refresh token is bound to a key in the TPM.
const IN_TPM: Person = Person {
    tenant: Tenant::Oidc,
    name: ALICE,
};

/// So are hers at the other tenant, as far as they are bound to anything: sealed by the TPM.
const SEALED_BY_TPM: Person = Person {
    tenant: Tenant::Entra,
    name: ALICE,
};

/// His is bound to a key in a file, from a time when there was no TPM.
const IN_FILE: Person = Person {
    tenant: Tenant::Oidc,
    name: BOB,
};

/// A broker with both kinds of accounts in one vault.
struct Mixed {
    stack: Stack,
    keywardd: u32,
}

impl Mixed {
    fn start() -> Self {
        let mut stack = Stack::start(Tenant::Oidc);
        assert_eq!(IN_FILE.sign_in(&stack)["key_protection"], "software");
        stack.kill_keywardd();
        stack.keep_keys_in_tpm();
        stack.start_keywardd();
        for person in [IN_TPM, SEALED_BY_TPM] {
            assert_eq!(person.sign_in(&stack)["key_protection"], "tpm");
        }
        let mixed = Self {
            keywardd: stack.keywardd_process().unwrap(),
            stack,
        };
        mixed.everybody_is_served();
        mixed
    }

    fn typed(&self) -> Typed {
        Typed::over_socket(&self.stack)
    }

    fn renew(&self, person: Person) -> Result<(), TypedError> {
        person.renew(&self.stack, &self.typed()).map(drop)
    }

    fn everybody_is_served(&self) {
        for person in [IN_TPM, SEALED_BY_TPM, IN_FILE] {
            self.renew(person)
                .unwrap_or_else(|error| panic!("{person:?}: {error:?}"));
        }
    }

    /// Everything that needs no TPM works, through the same process as before.
    fn everybody_else_is_served(&self) {
        self.renew(IN_FILE).expect("a key in a file needs no TPM");
        for person in [IN_TPM, SEALED_BY_TPM, IN_FILE] {
            let hit = person.hit(&self.stack, &self.typed()).unwrap();
            assert_eq!(hit["token_source"], "cache", "{person:?}: {hit}");
        }
        cli::keyward(&self.stack, &["status"]);
        assert_eq!(self.stack.keywardd_process(), Some(self.keywardd));
    }

    /// What the person with a key in the TPM is told, by the interface and the command line alike.
    fn what_is_said(&self) -> TypedError {
        let error = self.renew(IN_TPM).unwrap_err();
        let run = cli::keyward(
            &self.stack,
            &["token", "--username", ALICE, "--force-refresh"],
        );
        assert_ne!(run.code, 0, "{run:?}");
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("TPM"), "{run:?}");
        assert!(error.message.contains("TPM"), "{error:?}");
        error
    }

    /// It recovers by itself: the same process serves everybody again.
    fn recovers(&self) {
        wait::until("a recovered broker", SOON, || self.renew(IN_TPM).ok());
        self.everybody_is_served();
        assert_eq!(self.stack.keywardd_process(), Some(self.keywardd));
        assert!(self.stack.bus.connect().has_owner(KEYWARD_NAME));
    }
}

#[test]
fn a_killed_tpm_is_named_and_used_again_when_it_is_back() {
    let mut mixed = Mixed::start();
    mixed.stack.tpm_mut().kill();
    let error = mixed.what_is_said();
    assert_eq!(error.kind, "KeyUnavailable", "{error:?}");
    assert!(
        error.message.contains("TPM cannot be used now"),
        "{error:?}"
    );
    mixed.everybody_else_is_served();
    mixed.stack.tpm_mut().restart();
    mixed.recovers();
}

#[test]
fn a_tpm_without_room_for_objects_is_named_and_used_again_when_there_is() {
    let mixed = Mixed::start();
    let occupied = mixed.stack.tpm().occupy();
    let error = mixed.what_is_said();
    assert_eq!(error.kind, "KeyUnavailable", "{error:?}");
    mixed.everybody_else_is_served();
    mixed.stack.tpm().vacate(occupied);
    mixed.recovers();
}

#[test]
fn a_tpm_that_takes_five_seconds_is_waited_for_and_holds_nobody_else_up() {
    let mixed = Mixed::start();
    mixed.stack.tpm().stall();
    let stalled = Instant::now();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| mixed.renew(IN_TPM));
        let mut served = 0;
        while stalled.elapsed() < Duration::from_secs(5) {
            mixed.everybody_else_is_served();
            served += 1;
        }
        assert!(served >= 3, "everybody else was held up: {served} rounds");
        assert!(!slow.is_finished(), "the TPM has not answered");
        mixed.stack.tpm().resume();
        slow.join()
            .unwrap()
            .expect("it answered after five seconds");
    });
    mixed.recovers();
}

#[test]
fn a_tpm_that_never_answers_is_given_up_after_a_while() {
    let mixed = Mixed::start();
    mixed.stack.tpm().stall();
    let asked = Instant::now();
    let error = mixed.renew(IN_TPM).unwrap_err();
    assert_eq!(error.kind, "KeyUnavailable", "{error:?}");
    assert!(error.message.contains("TPM"), "{error:?}");
    assert!(asked.elapsed() < SOON);
    mixed.everybody_else_is_served();
    mixed.stack.tpm().resume();
    mixed.recovers();
}

#[test]
fn a_cleared_tpm_has_lost_its_keys_and_who_signs_in_again_has_a_new_one() {
    let mut mixed = Mixed::start();
    mixed.stack.tpm().clear();
    let error = mixed.renew(IN_TPM).unwrap_err();
    assert_eq!(error.kind, "InteractionRequired", "{error:?}");
    assert!(error.message.contains("key lost"), "{error:?}");
    mixed.renew(IN_FILE).expect("a key in a file needs no TPM");

    let opened = mixed.stack.browser.opened();
    assert_eq!(IN_TPM.sign_in(&mixed.stack)["key_protection"], "tpm");
    mixed.recovers();
    assert_eq!(mixed.stack.browser.opened(), opened + 1);
    // What was sealed by the cleared TPM was sealed anew: a restart finds everybody.
    mixed.stack.kill_keywardd();
    mixed.stack.start_keywardd();
    mixed.everybody_is_served();
    assert_eq!(mixed.stack.browser.opened(), opened + 1);
}

#[test]
fn a_locked_out_tpm_serves_keys_without_a_pin() {
    let mixed = Mixed::start();
    mixed.stack.tpm().lock_out();
    mixed.everybody_is_served();
    mixed.everybody_else_is_served();
}

#[test]
fn a_tpm_that_is_gone_at_start_is_named_and_used_when_it_comes() {
    let mut mixed = Mixed::start();
    mixed.stack.kill_keywardd();
    mixed.stack.tpm_mut().kill();
    mixed.stack.start_keywardd();
    mixed.keywardd = mixed.stack.keywardd_process().unwrap();
    let error = mixed.what_is_said();
    assert_eq!(error.kind, "KeyUnavailable", "{error:?}");
    assert!(
        error.message.contains("TPM cannot be used now"),
        "{error:?}"
    );
    mixed.renew(IN_FILE).expect("a key in a file needs no TPM");
    mixed.stack.tpm_mut().restart();
    mixed.recovers();
}

#[test]
fn a_broker_with_nothing_but_a_tpm_that_is_gone_at_start_says_so_and_serves_when_it_comes() {
    let mut stack = Stack::with_tpm(Tenant::Oidc);
    IN_TPM.sign_in(&stack);
    stack.kill_keywardd();
    stack.tpm_mut().kill();
    stack.start_keywardd();
    let keywardd = stack.keywardd_process();
    let error = IN_TPM.hit(&stack, &Typed::over_socket(&stack)).unwrap_err();
    assert_eq!(error.kind, "KeyUnavailable", "{error:?}");
    assert!(
        error.message.contains("TPM cannot be used now"),
        "{error:?}"
    );
    let status = cli::keyward(&stack, &["status", "--json"]).json();
    assert!(status["problems"].to_string().contains("TPM"), "{status}");

    stack.tpm_mut().restart();
    wait::until("a recovered broker", SOON, || {
        IN_TPM.renew(&stack, &Typed::over_socket(&stack)).ok()
    });
    assert_eq!(stack.keywardd_process(), keywardd);
    assert_eq!(stack.browser.opened(), 1);
}
