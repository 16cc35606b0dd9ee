//! One attempt to sign in, from the first page to the last.

use std::time::Duration;

use keyward_oauth::time::UnixTime;

use crate::expiring::Expiring;
use crate::locked::Locked;
use crate::random;
use crate::signin::ask::Ask;
use crate::signin::browsers::BrowserId;

/// One attempt to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Sitting {
    pub(crate) id: String,
    /// Only this browser may go on with it.
    pub(crate) browser: BrowserId,
    /// Sent with every form, so that no other site can post one.
    pub(crate) canary: String,
    pub(crate) matter: Matter,
    pub(crate) progress: Progress,
}

/// What it is about.
#[derive(Clone, Debug)]
pub(crate) enum Matter {
    /// A person is typing the code a device shows; what it asks for is not known yet.
    EnterUserCode,
    SignIn(Ask),
}

/// How far the person has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) chosen: Option<Chosen>,
    /// The person pressed "use another account".
    pub(crate) wants_other: bool,
    /// The password was right and must be changed.
    pub(crate) must_change_password: bool,
    /// The person just allowed what is asked.
    pub(crate) consented: bool,
}

/// The account to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) user_name: String,
    /// When the password was shown; `None` if it is still to be.
    pub(crate) auth_time: Option<UnixTime>,
}

/// All sittings under way.
pub(crate) struct Sittings(Locked<Expiring<Sitting>>);

const LIFETIME: Duration = Duration::from_secs(3600);

impl Sitting {
    /// A new attempt.
    pub(crate) fn new(browser: BrowserId, matter: Matter) -> Self {
        Self {
            id: random::short_id(),
            browser,
            canary: random::secret(),
            matter,
            progress: Progress::default(),
        }
    }

    /// Turns to what a device asks for; the person starts from the beginning.
    pub(crate) fn turn_to(&mut self, ask: Ask) {
        self.matter = Matter::SignIn(ask);
        self.progress = Progress::default();
    }

    /// What is asked for, once that is known.
    pub(crate) fn ask(&self) -> Option<&Ask> {
        match &self.matter {
            Matter::EnterUserCode => None,
            Matter::SignIn(ask) => Some(ask),
        }
    }
}

impl Sittings {
    pub(crate) fn new() -> Self {
        Self(Locked::new(Expiring::new(10_000)))
    }

    /// Puts a sitting down until its form comes back.
    pub(crate) fn put(&self, now: UnixTime, sitting: Sitting) {
        self.0
            .with(|all| all.insert(now, sitting.id.clone(), now.plus(LIFETIME), sitting));
    }

    /// Takes a sitting up; nobody else can at the same time.
    pub(crate) fn take(&self, now: UnixTime, id: &str) -> Option<Sitting> {
        self.0.with(|all| all.remove(now, id))
    }

    /// Whom a sitting is about, without taking it up.
    pub(crate) fn peek(&self, now: UnixTime, id: &str) -> Option<(Option<Ask>, Option<Chosen>)> {
        self.0.with(|all| {
            let sitting = all.get(now, id)?;
            Some((sitting.ask().cloned(), sitting.progress.chosen.clone()))
        })
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.0.with(Expiring::clear);
    }
}
