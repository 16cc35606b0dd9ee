//! keywardd is killed at random moments of a renewal. The account must survive every one of them.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use keyward_dev_authority::{Endpoint, Fault, FaultRule};
use keyward_e2e::typed::Reply;
use keyward_e2e::{CLIENT, SOON, Stack, Tenant, Typed};
use serde_json::{Value, json};

const ROUNDS: u32 = 50;

/// The part of the rounds that has to meet each moment of [`Killed`].
const SHARE: u32 = ROUNDS / 10;

#[test]
fn after_each_of_fifty_crashes_during_a_renewal_the_account_still_works() {
    let mut stack = Stack::start(Tenant::Oidc);
    let renewal = signed_in(&stack);
    let length = Length::measured(&stack, &renewal);
    keep_a_copy_of_the_vault(&mut stack);
    let mut random = Random::seeded();
    let seed = random.0;
    let mut met = [0; 3];
    for round in 1..=ROUNDS {
        let aim = Aim::of_round(round, &length, &mut random);
        let killed = renew_and_kill(&mut stack, &renewal, aim);
        met[killed as usize] += 1;
        let before = stack.authority.redeemed();
        stack.start_keywardd();
        let after = Typed::over_socket(&stack).ask("AcquireTokenSilent", &renewal);
        let place = format!("round {round}, seed {seed}, {killed:?}");
        assert!(after.is_ok(), "{place}: {:?}", after.unwrap_err());
        if killed == Killed::AfterTheAnswer {
            // The authority forgives who presents the last token again; but nobody who has given
            // an answer may have to.
            let twice = redeemed_again(&before, &stack.authority.redeemed());
            assert_eq!(twice, 0, "{place}: the answer was not durable");
        }
    }
    println!("killed before the rotation, before the answer, after it: {met:?}");
    assert!(met.iter().all(|rounds| *rounds >= SHARE), "{met:?}");
    assert!(met[1] >= 2 * SHARE, "the moments that matter: {met:?}");
    assert_eq!(stack.browser.opened(), 1, "nobody had to sign in again");
    the_authority_would_have_noticed_reuse(&mut stack, &renewal);
}

/// Signs in; the request for a renewal.
fn signed_in(stack: &Stack) -> Value {
    let mut asked = json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read",
    });
    let typed = Typed::over_socket(stack);
    typed.ask("AcquireTokenInteractive", &asked).unwrap();
    asked["force_refresh"] = json!(true);
    asked
}

/// When keywardd was killed, as the authority and the caller see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    /// The refresh token was not rotated yet.
    BeforeTheRotation,
    /// The authority had issued a new refresh token; nobody had an answer.
    BeforeTheAnswer,
    /// The caller had its answer.
    AfterTheAnswer,
}

/// Starts a renewal, kills keywardd at the moment aimed at, and says which one was met.
fn renew_and_kill(stack: &mut Stack, request: &Value, aim: Aim) -> Killed {
    let typed = Typed::over_socket(stack);
    let issued = stack.authority.redeemed().len();
    aim.prepare(stack);
    thread::scope(|scope| {
        let (ended, answer) = channel();
        scope.spawn(move || ended.send(typed.ask("AcquireTokenSilent", request)));
        let early = aim.wait(&answer, || stack.authority.redeemed().len() > issued);
        stack.kill_keywardd();
        stack.authority.clear_faults();
        let answer: Reply = early.unwrap_or_else(|| answer.recv().unwrap());
        match answer {
            Ok(_) => Killed::AfterTheAnswer,
            Err(_) if stack.authority.redeemed().len() > issued => Killed::BeforeTheAnswer,
            Err(_) => Killed::BeforeTheRotation,
        }
    })
}

/// How many tokens were redeemed between two looks that had been redeemed already.
fn redeemed_again(before: &[u32], after: &[u32]) -> usize {
    let both = before.iter().zip(after);
    both.filter(|(before, after)| **before > 0 && after > before)
        .count()
}

/// A moment of a renewal.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// This long after its start, unless it is answered earlier.
    FromTheStart(Duration),
    /// This long after its start, while the authority takes much longer.
    WhileTheAuthorityThinks(Duration),
    /// This long after the authority has rotated the token, unless it is answered earlier.
    FromTheRotation(Duration),
    /// As soon as it is answered.
    AtTheAnswer,
}

impl Aim {
    /// A random moment; the rounds take turns, so that every part of a renewal is met.
    fn of_round(round: u32, length: &Length, random: &mut Random) -> Self {
        match round % 10 {
            0 | 5 => Self::AtTheAnswer,
            1 | 6 => Self::WhileTheAuthorityThinks(random.part_of(length.until_rotation)),
            2 => Self::FromTheStart(random.part_of(length.until_rotation + length.rest)),
            3 | 8 => Self::FromTheRotation(Duration::ZERO),
            _ => Self::FromTheRotation(random.part_of(length.rest)),
        }
    }

    /// Prepares the authority, before the renewal starts.
    fn prepare(self, stack: &Stack) {
        if matches!(self, Self::WhileTheAuthorityThinks(_)) {
            let slow = Fault::Slow { ms: 20_000 };
            let rule = FaultRule::once(Endpoint::Token, slow);
            stack.authority.fault(rule);
        }
    }

    /// Waits for the moment; the answer, if there was one.
    fn wait(self, answer: &Receiver<Reply>, rotated: impl Fn() -> bool) -> Option<Reply> {
        match self {
            Self::FromTheStart(after) | Self::WhileTheAuthorityThinks(after) => {
                answer.recv_timeout(after).ok()
            }
            Self::FromTheRotation(after) => {
                let deadline = Instant::now() + SOON;
                while !rotated() {
                    assert!(Instant::now() < deadline, "no rotation in {SOON:?}");
                    thread::yield_now();
                }
                answer.recv_timeout(after).ok()
            }
            Self::AtTheAnswer => answer.recv_timeout(SOON).ok(),
        }
    }
}

/// The least that the parts of a renewal take here and now when nothing interrupts it.
struct Length {
    until_rotation: Duration,
    rest: Duration,
}

impl Length {
    fn measured(stack: &Stack, request: &Value) -> Self {
        let typed = Typed::over_socket(stack);
        let mut length = Self {
            until_rotation: SOON,
            rest: SOON,
        };
        for _ in 0..10 {
            let issued = stack.authority.redeemed().len();
            thread::scope(|scope| {
                let started = Instant::now();
                let renewal = scope.spawn(|| typed.ask("AcquireTokenSilent", request).unwrap());
                while stack.authority.redeemed().len() == issued && !renewal.is_finished() {
                    thread::yield_now();
                }
                let rotated = started.elapsed();
                renewal.join().unwrap();
                let rest = started.elapsed().saturating_sub(rotated);
                length.until_rotation = length.until_rotation.min(rotated);
                length.rest = length.rest.min(rest);
            });
        }
        length
    }
}

/// Random numbers (xorshift64); the seed is shown when a round fails.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        Self(u64::from(std::process::id()) << 20 | 0x9e37)
    }

    fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // INVARIANT: the remainder fits, and 16 bits are more than the clock resolves here.
        let part = u32::try_from(self.0 % 65_536).unwrap();
        whole * part / 65_536
    }
}

/// The control: an old vault presents a refresh token that was rotated away, and the authority ends
/// the sign-in. So it looks for reuse, and in all the rounds there was none.
fn the_authority_would_have_noticed_reuse(stack: &mut Stack, renewal: &Value) {
    stack.kill_keywardd();
    let vault = stack.vault();
    std::fs::remove_dir_all(&vault).unwrap();
    let old = stack.login.path("old-vault");
    std::fs::rename(old, vault).unwrap();
    stack.start_keywardd();
    let refused = Typed::over_socket(stack).ask("AcquireTokenSilent", renewal);
    assert_eq!(refused.unwrap_err().kind, "InteractionRequired");
}

fn keep_a_copy_of_the_vault(stack: &mut Stack) {
    stack.kill_keywardd();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(stack.vault());
    copy.arg(stack.login.path("old-vault"));
    assert!(copy.status().unwrap().success());
    stack.start_keywardd();
}
