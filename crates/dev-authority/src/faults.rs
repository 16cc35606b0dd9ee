//! Scripted faults: what should go wrong, where, for whom and how often.
//!
//! | fault | what happens |
//! |---|---|
//! | `slow` | the request is handled after a delay |
//! | `retry_after` | the status, with `Retry-After` |
//! | `status500` | 500 |
//! | `garbage` | 200 with a body that is not what was asked for |
//! | `drop` | the connection is closed unanswered; nothing was done |
//! | `lose_answer` | everything is done, then the connection is closed unanswered |
//! | `clock_skew` | the request is handled as if it were earlier or later |
//! | `expired` | what was presented counts as expired; `authorize` and `device` hand out an expired code |
//! | `revoked` | what was presented counts as revoked; `authorize` and `device` hand out a dead code |
//! | `interaction_required` | `token` refuses because only the person can help; in the Entra-shaped tenant with a claims challenge |
//! | `wrong_nonce` | the proof's nonce is refused; at `authorize`, and at `token` without a proof, the ID token has another nonce |
//! | `wrong_issuer` | `iss` of the metadata, of the authorize answer or of the ID token is another's |
//!
//! Nothing a fault pretends is remembered: a token that counted as expired works again afterwards.

mod plan;

use serde::{Deserialize, Serialize};

use crate::locked::Locked;
use crate::tenant::Tenant;
pub(crate) use plan::{Ending, Plan, Twist};

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The authorize endpoint and the pages behind it.
    Authorize,
    /// The token and revocation endpoints.
    Token,
    /// The device authorization endpoint.
    Device,
    /// The key sets.
    Jwks,
    /// Metadata and instance discovery.
    Discovery,
    /// The demo API and userinfo.
    Api,
}

/// What goes wrong. See the table of the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Handle the request after this delay.
    Slow {
        /// The delay in milliseconds, at most ten minutes.
        ms: u64,
    },
    /// Refuse with a status and `Retry-After`.
    RetryAfter {
        /// 429 or 503, or any other from 400 to 599.
        #[serde(default = "too_many_requests")]
        status: u16,
        /// The value of `Retry-After`, in seconds.
        seconds: u32,
    },
    /// Refuse with 500.
    Status500,
    /// Answer 200 with a body that is not what was asked for.
    Garbage,
    /// Close the connection before anything is done.
    Drop,
    /// Do everything, then close the connection without an answer.
    LoseAnswer,
    /// Handle the request at another time.
    ClockSkew {
        /// Added to the clock; negative for the past. At most ten years.
        seconds: i64,
    },
    /// What was presented, or is handed out, counts as expired.
    Expired,
    /// What was presented, or is handed out, counts as revoked.
    Revoked,
    /// Only the person can help: AADSTS50076 with a claims challenge, or `interaction_required`.
    InteractionRequired,
    /// The proof's nonce is refused, or the ID token's nonce is another.
    WrongNonce,
    /// The issuer named is another.
    WrongIssuer,
}

const fn too_many_requests() -> u16 {
    429
}

/// Which requests a fault is for. What is `None` matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The user the request is about, by `preferred_username`: whose code, token, device code or
    /// session it presents, or whom it hints at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tenant asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The `grant_type` of a token request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
}

/// One scripted fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Where it strikes.
    pub endpoint: Endpoint,
    /// What goes wrong.
    pub fault: Fault,
    /// How often; `None` for always.
    #[serde(default)]
    pub times: Option<u32>,
    /// For which requests.
    #[serde(default, rename = "match")]
    pub matching: Match,
}

/// A fault that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFault {
    /// Not at this endpoint.
    #[error("this fault means nothing at this endpoint")]
    NotHere,
    /// A number out of its range.
    #[error(
        "a number of the fault is out of range: ms up to 600000, status 400 to 599, skew up to ten years"
    )]
    OutOfRange,
}

impl FaultRule {
    /// A fault that strikes every request to an endpoint.
    pub fn always(endpoint: Endpoint, fault: Fault) -> Self {
        Self {
            endpoint,
            fault,
            times: None,
            matching: Match::default(),
        }
    }

    /// A fault that strikes the next request to an endpoint.
    pub fn once(endpoint: Endpoint, fault: Fault) -> Self {
        Self {
            times: Some(1),
            ..Self::always(endpoint, fault)
        }
    }

    /// Only for requests about this user.
    #[must_use]
    pub fn for_user(mut self, user_name: impl Into<String>) -> Self {
        self.matching.user = Some(user_name.into());
        self
    }

    fn check(&self) -> Result<(), InvalidFault> {
        use Endpoint::{Api, Authorize, Device, Discovery, Token};
        let here = match self.fault {
            Fault::Expired | Fault::Revoked => {
                matches!(self.endpoint, Authorize | Token | Device | Api)
            }
            Fault::InteractionRequired => self.endpoint == Token,
            Fault::WrongNonce => matches!(self.endpoint, Authorize | Token | Api),
            Fault::WrongIssuer => matches!(self.endpoint, Authorize | Token | Discovery | Api),
            _ => true,
        };
        let in_range = match self.fault {
            Fault::Slow { ms } => ms <= 600_000,
            Fault::RetryAfter { status, .. } => (400..=599).contains(&status),
            Fault::ClockSkew { seconds } => seconds.unsigned_abs() <= 315_360_000,
            _ => true,
        };
        match (here, in_range) {
            (false, _) => Err(InvalidFault::NotHere),
            (_, false) => Err(InvalidFault::OutOfRange),
            _ => Ok(()),
        }
    }
}

/// Whom a request is about, as far as it can be known before it is handled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) user: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) grant_type: Option<String>,
}

impl Match {
    fn fits(&self, subject: &Subject) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| match (wanted, is) {
            (None, _) => true,
            (Some(wanted), Some(is)) => wanted.eq_ignore_ascii_case(is),
            (Some(_), None) => false,
        };
        same(&self.user, &subject.user)
            && same(&self.client_id, &subject.client_id)
            && same(&self.grant_type, &subject.grant_type)
            && self
                .tenant
                .is_none_or(|wanted| subject.tenant == Some(wanted))
    }
}

/// The faults scripted, oldest first.
#[derive(Default)]
pub(crate) struct Faults(Locked<Vec<FaultRule>>);

/// How many faults can be scripted.
const MOST_FAULTS: usize = 1000;

impl Faults {
    /// Scripts a fault.
    pub(crate) fn add(&self, rule: FaultRule) -> Result<(), InvalidFault> {
        rule.check()?;
        self.0.with(|rules| {
            if rules.len() >= MOST_FAULTS {
                return Err(InvalidFault::OutOfRange);
            }
            rules.push(rule);
            Ok(())
        })
    }

    /// What happens to a request, and counts it.
    pub(crate) fn plan(&self, endpoint: Endpoint, subject: &Subject) -> Plan {
        self.0.with(|rules| {
            let mut plan = Plan::default();
            for rule in rules.iter_mut() {
                let strikes = rule.endpoint == endpoint && rule.matching.fits(subject);
                let twisted = plan.twist;
                if strikes && plan.add(rule.fault) {
                    if plan.twist != twisted && rule.times.is_some() {
                        plan.counted = Some(rule.clone());
                    }
                    rule.times = rule.times.map(|times| times.saturating_sub(1));
                }
            }
            rules.retain(|rule| rule.times != Some(0));
            plan
        })
    }

    /// A request that only has to bring a nonce comes again (RFC 9449 §8): what would have struck
    /// it strikes then, and has not been used up.
    pub(crate) fn not_yet(&self, plan: &Plan) {
        let nonce_itself = plan.twist == Some(Twist::WrongNonce);
        let Some(counted) = plan.counted.as_ref().filter(|_| !nonce_itself) else {
            return;
        };
        self.0.with(|rules| {
            let same = |rule: &&mut FaultRule| {
                let times = counted.times.map(|times| times.saturating_sub(1));
                **rule
                    == FaultRule {
                        times,
                        ..counted.clone()
                    }
            };
            match rules.iter_mut().find(same) {
                Some(rule) => rule.times = counted.times,
                None => rules.insert(0, counted.clone()),
            }
        });
    }

    /// Those that still wait.
    pub(crate) fn list(&self) -> Vec<FaultRule> {
        self.0.with(|rules| rules.clone())
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear(&self) {
        self.0.with(Vec::clear);
    }
}

#[cfg(test)]
mod tests;
