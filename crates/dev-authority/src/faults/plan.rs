//! What the faults that strike one request come to.

use std::time::Duration;

use super::{Fault, FaultRule};

/// A lie the endpoint itself has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    Expired,
    Revoked,
    InteractionRequired,
    WrongNonce,
    WrongIssuer,
}

/// How a request ends instead of being answered as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    RetryAfter { status: u16, seconds: u32 },
    Status500,
    Garbage,
    Drop,
    LoseAnswer,
}

/// What is to happen to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) skew: i64,
    pub(crate) twist: Option<Twist>,
    pub(crate) ending: Option<Ending>,
    /// The rule of the twist, if it strikes a limited number of times.
    pub(super) counted: Option<FaultRule>,
}

impl Plan {
    /// Adds a fault; false if another one has taken its place already.
    pub(super) fn add(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Slow { ms } => self.delay += Duration::from_millis(ms),
            Fault::ClockSkew { seconds } => self.skew += seconds,
            Fault::Expired => return self.twist(Twist::Expired),
            Fault::Revoked => return self.twist(Twist::Revoked),
            Fault::InteractionRequired => return self.twist(Twist::InteractionRequired),
            Fault::WrongNonce => return self.twist(Twist::WrongNonce),
            Fault::WrongIssuer => return self.twist(Twist::WrongIssuer),
            Fault::RetryAfter { status, seconds } => {
                return self.end(Ending::RetryAfter { status, seconds });
            }
            Fault::Status500 => return self.end(Ending::Status500),
            Fault::Garbage => return self.end(Ending::Garbage),
            Fault::Drop => return self.end(Ending::Drop),
            Fault::LoseAnswer => return self.end(Ending::LoseAnswer),
        }
        true
    }

    fn twist(&mut self, twist: Twist) -> bool {
        self.twist.is_none() && self.twist.replace(twist).is_none()
    }

    fn end(&mut self, ending: Ending) -> bool {
        self.ending.is_none() && self.ending.replace(ending).is_none()
    }
}
