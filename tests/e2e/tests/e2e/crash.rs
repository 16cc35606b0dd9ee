//! keywardd is killed at random moments of a renewal. The account must survive every one of them.

use std::thread;
use std::time::{Duration, Instant};

use keyward_e2e::{CLIENT, Stack, Tenant, Typed};
use serde_json::{Value, json};

const ROUNDS: u32 = 50;

#[test]
fn after_each_of_fifty_crashes_during_a_renewal_the_account_still_works() {
    let mut stack = Stack::start(Tenant::Oidc);
    let asked = json!({
        "client_id": CLIENT,
        "authority": stack.localhost_authority(Tenant::Oidc),
        "scopes": "User.Read",
    });
    Typed::over_socket(&stack)
        .ask("AcquireTokenInteractive", &asked)
        .unwrap();
    let mut forced = asked;
    forced["force_refresh"] = json!(true);

    let mut moment = Moment::within(length_of_a_renewal(&stack, &forced));
    let mut interrupted = 0;
    let before = stack.authority.renewals();
    for round in 1..=ROUNDS {
        interrupted += u32::from(renew_and_kill(&mut stack, &forced, moment.next()));
        stack.start_keywardd();
        let after = Typed::over_socket(&stack).ask("AcquireTokenSilent", &forced);
        let seed = moment.seed;
        assert!(
            after.is_ok(),
            "round {round}, seed {seed}: {:?}",
            after.unwrap_err()
        );
    }
    assert_eq!(stack.browser.opened(), 1, "nobody had to sign in again");
    // Every round renews twice, and the authority rotates the token each time it is asked; where
    // the answer was lost, only what keywardd keeps, or the authority forgives, can help.
    let answered = ROUNDS - interrupted + ROUNDS;
    let rotated = u32::try_from(stack.authority.renewals() - before).unwrap();
    let lost = rotated.saturating_sub(answered);
    println!("{interrupted} of {ROUNDS} renewals were interrupted, {lost} after the rotation");
    assert!(lost > 0, "no crash hit the moment that matters");
    assert!(
        interrupted >= ROUNDS / 5,
        "{interrupted}: the moments are badly chosen"
    );
}

/// How long a renewal takes here and now when nothing interrupts it.
fn length_of_a_renewal(stack: &Stack, request: &Value) -> Duration {
    let typed = Typed::over_socket(stack);
    let renewals = (0..10).map(|_| {
        let started = Instant::now();
        typed.ask("AcquireTokenSilent", request).unwrap();
        started.elapsed()
    });
    renewals.sum::<Duration>() / 10
}

/// Starts a renewal, kills keywardd after a while, and says whether the renewal had not ended.
fn renew_and_kill(stack: &mut Stack, request: &Value, after: Duration) -> bool {
    let typed = Typed::over_socket(stack);
    thread::scope(|scope| {
        let renewal = scope.spawn(|| typed.ask("AcquireTokenSilent", request));
        thread::park_timeout(after);
        stack.kill_keywardd();
        renewal.join().unwrap().is_err()
    })
}

/// Random moments (xorshift64); the seed is shown when a round fails.
struct Moment {
    seed: u64,
    state: u64,
    latest: Duration,
}

impl Moment {
    /// Moments from the start of a renewal until a little after its usual end.
    fn within(renewal: Duration) -> Self {
        let seed = u64::from(std::process::id()) << 20 | 0x9e37;
        let latest = renewal + renewal / 5;
        Self {
            seed,
            state: seed,
            latest,
        }
    }

    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // INVARIANT: the remainder fits, and 16 bits are more than the clock resolves here.
        let part = u32::try_from(self.state % 65_536).unwrap();
        self.latest * part / 65_536
    }
}
