//! Thousands of silent calls while everything around them is restarted: nobody is ever asked to sign
//! in who would not have to.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use keyward_e2e::face::{Face, token_request};
use keyward_e2e::{ALICE, CLIENT, Msal, SOON, Stack, Tenant, Typed};
use keyward_testkit::wait;
use serde_json::{Value, json};

/// How many calls have to succeed.
const CALLS: usize = 2_000;

/// How many of them follow one restart before the next.
const BETWEEN_RESTARTS: usize = 50;

/// How often each part is restarted at the least.
const RESTARTS_OF_EACH: usize = 5;

/// Outcomes of calls that met a restart: the part they need is away, and they say so. Kinds of
/// error, statuses of Microsoft's runtime for the same, and what the transport says.
const AWAY: [&str; 9] = [
    "BrokerUnavailable",
    "20",
    "NoNetwork",
    "3",
    "ServerTemporarilyUnavailable",
    "5",
    "no connection",
    "the connection broke",
    "a D-Bus error",
];

#[test]
fn two_thousand_silent_calls_over_restarts_ask_nobody_to_sign_in() {
    let mut stack = Stack::start(Tenant::Oidc);
    Msal::start(&stack).sign_in();
    let places = Places::of(&stack);
    let tally = Tally::default();
    let renewals = stack.authority.renewals();
    let mut restarts = [0; 4];
    thread::scope(|scope| {
        let callers: [Box<dyn Fn() + Send>; 2] = [
            Box::new(|| tally.count(Way::Socket, || places.over_socket())),
            Box::new(|| tally.count(Way::Bus, || places.over_bus())),
        ];
        for caller in callers {
            scope.spawn(caller);
        }
        for part in (0..restarts.len()).cycle() {
            let next = tally.succeeded() + BETWEEN_RESTARTS;
            wait::until("the next calls", SOON * 5, || {
                (tally.succeeded() >= next).then_some(())
            });
            let all = |times: &usize| *times >= RESTARTS_OF_EACH;
            if tally.succeeded() >= CALLS && restarts.iter().all(all) {
                break;
            }
            restart(&mut stack, part, &tally);
            restarts[part] += 1;
        }
        tally.stop();
    });
    let renewals = stack.authority.renewals() - renewals;
    println!("forced renewals: {renewals}, restarts: {restarts:?}");
    // Every third call is one, of which some meet a restart.
    assert!(renewals >= CALLS / 4, "{renewals} of them were renewals");
    nobody_was_asked_to_sign_in(&stack, tally);
}

fn nobody_was_asked_to_sign_in(stack: &Stack, tally: Tally) {
    let (socket, bus) = (tally.by(Way::Socket), tally.by(Way::Bus));
    assert!(
        socket > CALLS / 10 && bus > CALLS / 10,
        "{socket} and {bus} calls"
    );
    let outcomes = tally.outcomes.into_inner().unwrap();
    println!("outcomes of the calls that met a restart: {outcomes:?}");
    let others: Vec<_> = outcomes
        .keys()
        .filter(|kind| !AWAY.contains(&&***kind))
        .collect();
    assert!(others.is_empty(), "a restart is no reason for {others:?}");
    assert_eq!(stack.browser.opened(), 1, "one sign-in, at the start");
}

/// One part after the other goes and comes back.
fn restart(stack: &mut Stack, part: usize, tally: &Tally) {
    match part % 4 {
        0 => {
            stack.kill_keywardd();
            stack.start_keywardd();
        }
        1 => {
            stack.kill_session();
            stack.start_session();
        }
        // It comes back on its port with the keys, users and tokens it had, as one with a
        // database does.
        2 => {
            let before = tally.failed();
            stack.authority.stop();
            wait::until("calls that meet the outage", SOON, || {
                (tally.failed() >= before + 4).then_some(())
            });
            stack.authority.resume();
        }
        _ => {
            stack.restart_bus();
            stack.wait_for_names();
        }
    }
}

/// Where to call, and for whom.
struct Places {
    socket: std::path::PathBuf,
    bus: String,
    authority: String,
    account: Value,
}

/// How one call ended: nothing on success, else the kind of error.
type Outcome = Result<(), String>;

impl Places {
    fn of(stack: &Stack) -> Self {
        let accounts = Face::connect(stack).ask("getAccounts", &json!({"clientId": CLIENT}));
        Self {
            socket: stack.socket(),
            bus: stack.bus.address().to_owned(),
            authority: stack.localhost_authority(Tenant::Oidc),
            account: accounts["accounts"][0].clone(),
        }
    }

    /// Calls over one connection until it fails; every third call has to reach the authority.
    fn over_socket(&self) -> Vec<Outcome> {
        let Ok(typed) = Typed::at_socket(&self.socket) else {
            return vec![Err("no connection".to_owned())];
        };
        let mut outcomes = Vec::new();
        for call in 0..60 {
            let asked = json!({
                "client_id": CLIENT, "authority": self.authority, "scopes": "User.Read",
                "home_account_id": self.account["homeAccountId"],
                "force_refresh": call % 3 == 0,
            });
            let answer = typed.ask("AcquireTokenSilent", &asked);
            outcomes.push(match answer {
                Ok(token) => {
                    assert_eq!(token["username"], ALICE);
                    Ok(())
                }
                Err(error) if error.is_of_the_broker() => Err(error.kind),
                Err(_) => Err("the connection broke".to_owned()),
            });
            if outcomes.last().is_some_and(Result::is_err) {
                break;
            }
        }
        outcomes
    }

    /// The same in Microsoft's protocol over the bus.
    fn over_bus(&self) -> Vec<Outcome> {
        let Some(face) = Face::at(&self.bus) else {
            return vec![Err("no connection".to_owned())];
        };
        let mut outcomes = Vec::new();
        for call in 0..60 {
            let mut asked = token_request(CLIENT, &self.authority, &self.account, 1);
            if call % 3 == 0 {
                asked["authParameters"]["decodedClaims"] = json!(format!(
                    "{{\"access_token\":{{\"x\":{{\"value\":{call}}}}}}}"
                ));
            }
            outcomes.push(silent(&face, &asked));
            if outcomes.last().is_some_and(Result::is_err) {
                break;
            }
        }
        outcomes
    }
}

fn silent(face: &Face, request: &Value) -> Outcome {
    let text = face
        .raw("acquireTokenSilently", &request.to_string())
        .map_err(|_| "a D-Bus error".to_owned())?;
    let answer: Value = serde_json::from_str(&text).expect("an answer is JSON");
    match keyward_e2e::face::error_of(&answer) {
        None => {
            let token = &answer["brokerTokenResponse"]["accessToken"];
            assert!(token.is_string(), "{answer}");
            Ok(())
        }
        Some(error) => Err(error["status"].to_string()),
    }
}

/// How a caller reaches the broker.
#[derive(Clone, Copy)]
enum Way {
    Socket,
    Bus,
}

/// What the calls ended with.
#[derive(Default)]
struct Tally {
    /// By way.
    succeeded: [AtomicUsize; 2],
    stopped: AtomicBool,
    outcomes: Mutex<BTreeMap<String, usize>>,
}

impl Tally {
    /// Makes calls until stopped.
    fn count(&self, way: Way, mut calls: impl FnMut() -> Vec<Outcome>) {
        while !self.stopped.load(Ordering::Relaxed) {
            for outcome in calls() {
                match outcome {
                    Ok(()) => {
                        self.succeeded[way as usize].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(kind) => {
                        let mut outcomes = self.outcomes.lock().unwrap();
                        *outcomes.entry(kind).or_default() += 1;
                    }
                }
            }
        }
    }

    fn succeeded(&self) -> usize {
        self.by(Way::Socket) + self.by(Way::Bus)
    }

    fn failed(&self) -> usize {
        self.outcomes.lock().unwrap().values().sum()
    }

    fn by(&self, way: Way) -> usize {
        self.succeeded[way as usize].load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
