//! keywardd is killed at random moments of a renewal. The account must survive every one of them.

use std::thread;
use std::time::Duration;

use keyward_e2e::{CLIENT, Stack, Tenant, Typed};
use serde_json::{Value, json};

const ROUNDS: u32 = 50;

/// The longest a renewal may run before it is killed; it ends by itself well before.
const LONGEST_MS: u64 = 40;

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

    let mut moment = Moment::new();
    let mut interrupted = 0;
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
    assert!(
        (5..ROUNDS).contains(&interrupted),
        "{interrupted} of {ROUNDS} renewals were interrupted: the moments are badly chosen"
    );
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
}

impl Moment {
    fn new() -> Self {
        let seed = u64::from(std::process::id()) << 20 | 0x9e37;
        Self { seed, state: seed }
    }

    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Duration::from_micros(self.state % (LONGEST_MS * 1000))
    }
}
