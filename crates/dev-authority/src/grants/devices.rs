//! Device codes (RFC 8628).

use std::time::Duration;

use keyward_oauth::scope::Scopes;
use keyward_oauth::time::UnixTime;

use crate::expiring::Expiring;
use crate::faults::Twist;
use crate::locked::Locked;
use crate::random;
use crate::tenant::{Grant, Tenant};

/// What a device asks for.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRequest {
    pub(crate) tenant: Tenant,
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
    /// The `claims` parameter, as it came.
    pub(crate) claims: Option<String>,
}

#[derive(Clone, Debug)]
struct Device {
    request: DeviceRequest,
    user_code: String,
    expires: UnixTime,
    interval: Duration,
    /// When it asked last.
    polled: Option<UnixTime>,
    state: DeviceState,
}

#[derive(Clone, Debug)]
enum DeviceState {
    Pending,
    Approved(Box<Grant>),
    Declined,
}

/// What a polling device is told (RFC 8628 §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollError {
    Pending,
    /// It asked before the interval was over, which is five seconds longer from now on.
    SlowDown,
    Declined,
    Expired,
    /// No such code, or another client's.
    Unknown,
}

/// Codes handed out to a device.
pub(crate) struct Issued {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

/// How codes are handed out.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) lifetime: Duration,
    pub(crate) interval: Duration,
    pub(crate) twist: Option<Twist>,
}

/// All device codes. They stay known for an hour after their end, to be told apart from invented
/// ones.
pub(crate) struct Devices(Locked<Expiring<Device>>);

const REMEMBERED: Duration = Duration::from_secs(3600);

impl Devices {
    pub(crate) fn new() -> Self {
        Self(Locked::new(Expiring::new(10_000)))
    }

    /// Hands out codes.
    pub(crate) fn issue(&self, now: UnixTime, terms: Terms, request: DeviceRequest) -> Issued {
        let issued = Issued {
            device_code: random::secret(),
            user_code: random::user_code(),
        };
        let expires = match terms.twist {
            Some(Twist::Expired) => now,
            _ => now.plus(terms.lifetime),
        };
        let device = Device {
            request,
            user_code: issued.user_code.clone(),
            expires,
            interval: terms.interval,
            polled: None,
            state: match terms.twist {
                Some(Twist::Revoked) => DeviceState::Declined,
                _ => DeviceState::Pending,
            },
        };
        let until = expires.plus(REMEMBERED);
        self.0
            .with(|all| all.insert(now, issued.device_code.clone(), until, device));
        issued
    }

    /// What the device behind a user code asks for, if it still waits.
    pub(crate) fn find(&self, now: UnixTime, user_code: &str) -> Option<DeviceRequest> {
        let wanted = normalized(user_code);
        self.0.with(|all| {
            let mut devices = all.values_mut();
            devices
                .find(|device| device.waits(now, &wanted))
                .map(|device| device.request.clone())
        })
    }

    /// A person allowed the device, or with `None` refused it. False if it does not wait any more.
    pub(crate) fn decide(&self, now: UnixTime, user_code: &str, grant: Option<Grant>) -> bool {
        let wanted = normalized(user_code);
        self.0.with(|all| {
            let Some(device) = all.values_mut().find(|device| device.waits(now, &wanted)) else {
                return false;
            };
            device.state = match grant {
                Some(grant) => DeviceState::Approved(Box::new(grant)),
                None => DeviceState::Declined,
            };
            true
        })
    }

    /// Who allowed the device, without using its code.
    pub(crate) fn user_of(&self, now: UnixTime, device_code: &str) -> Option<String> {
        self.0.with(|all| match &all.get(now, device_code)?.state {
            DeviceState::Approved(grant) => Some(grant.user_name.clone()),
            _ => None,
        })
    }

    /// The device asks. An allowed one gets its grant, once.
    pub(crate) fn poll(
        &self,
        now: UnixTime,
        (device_code, tenant, client_id): (&str, Tenant, &str),
        twist: Option<Twist>,
    ) -> Result<(Grant, DeviceRequest), PollError> {
        self.0.with(|all| {
            let device = all.get_mut(now, device_code).ok_or(PollError::Unknown)?;
            let same_client = device.request.client_id.eq_ignore_ascii_case(client_id);
            if !same_client || device.request.tenant != tenant {
                return Err(PollError::Unknown);
            }
            let (grant, request) = device.poll(now, twist)?;
            all.remove(now, device_code);
            Ok((grant, request))
        })
    }

    /// Forgets all codes.
    pub(crate) fn clear(&self) {
        self.0.with(Expiring::clear);
    }
}

impl Device {
    fn waits(&self, now: UnixTime, user_code: &str) -> bool {
        let pending = matches!(self.state, DeviceState::Pending);
        pending && now < self.expires && self.user_code == user_code
    }

    fn poll(
        &mut self,
        now: UnixTime,
        twist: Option<Twist>,
    ) -> Result<(Grant, DeviceRequest), PollError> {
        match twist {
            Some(Twist::Expired) => return Err(PollError::Expired),
            Some(Twist::Revoked) => return Err(PollError::Declined),
            _ if now >= self.expires => return Err(PollError::Expired),
            _ => {}
        }
        let too_soon = self
            .polled
            .is_some_and(|polled| now < polled.plus(self.interval));
        self.polled = Some(now);
        match &self.state {
            DeviceState::Approved(grant) => Ok((*grant.clone(), self.request.clone())),
            DeviceState::Declined => Err(PollError::Declined),
            DeviceState::Pending if too_soon => {
                self.interval += Duration::from_secs(5);
                Err(PollError::SlowDown)
            }
            DeviceState::Pending => Err(PollError::Pending),
        }
    }
}

/// As a person may have typed it: in lower case, with hyphens or spaces (RFC 8628 §6.1).
fn normalized(user_code: &str) -> String {
    let letters = user_code.chars().filter(|c| !matches!(c, '-' | ' '));
    letters.map(|c| c.to_ascii_uppercase()).take(16).collect()
}

#[cfg(test)]
mod tests;
