//! Browsers that come back: who is signed in where, and the cookie that says so.

use std::time::Duration;

use keyward_oauth::time::UnixTime;

use crate::call::Call;
use crate::expiring::Expiring;
use crate::locked::Locked;
use crate::random;
use crate::tenant::Tenant;

/// A user signed in in a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) tenant: Tenant,
    pub(crate) user_name: String,
    /// When the password was shown.
    pub(crate) auth_time: UnixTime,
}

/// A browser, whatever its cookie is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrowserId(String);

/// All browsers seen in the last day.
pub(crate) struct Browsers(Locked<Inner>);

struct Inner {
    by_cookie: Expiring<BrowserId>,
    signed_in: Expiring<Vec<SignedIn>>,
}

const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

impl Browsers {
    pub(crate) fn new() -> Self {
        let (by_cookie, signed_in) = (Expiring::new(10_000), Expiring::new(10_000));
        Self(Locked::new(Inner {
            by_cookie,
            signed_in,
        }))
    }

    /// The browser a request comes from, if we know it.
    pub(crate) fn identify(&self, call: &Call, port: u16) -> Option<BrowserId> {
        let cookie = cookie(call, port)?;
        self.0
            .with(|inner| inner.by_cookie.get(call.now, &cookie).cloned())
    }

    /// A browser not seen before, and its cookie.
    pub(crate) fn open(&self, now: UnixTime) -> (BrowserId, String) {
        let (id, cookie) = (BrowserId(random::secret()), random::secret());
        self.0.with(|inner| {
            let until = now.plus(REMEMBERED);
            inner
                .by_cookie
                .insert(now, cookie.clone(), until, id.clone());
            inner.signed_in.insert(now, id.0.clone(), until, Vec::new());
        });
        (id, cookie)
    }

    /// Who is signed in to a tenant in this browser.
    pub(crate) fn signed_in(&self, now: UnixTime, id: &BrowserId, tenant: Tenant) -> Vec<SignedIn> {
        self.0.with(|inner| {
            let all = inner
                .signed_in
                .get(now, &id.0)
                .map_or(&[][..], Vec::as_slice);
            all.iter()
                .filter(|one| one.tenant == tenant)
                .cloned()
                .collect()
        })
    }

    /// Notes a sign-in. The browser gets a new cookie, so that one planted before is worthless
    /// (session fixation).
    pub(crate) fn sign_in(&self, now: UnixTime, id: &BrowserId, who: SignedIn) -> String {
        let cookie = random::secret();
        self.0.with(|inner| {
            let until = now.plus(REMEMBERED);
            let mut all = inner.signed_in.remove(now, &id.0).unwrap_or_default();
            all.retain(|one| one.tenant != who.tenant || one.user_name != who.user_name);
            all.push(who);
            inner.signed_in.insert(now, id.0.clone(), until, all);
            inner.by_cookie.retain(|known| known != id);
            inner
                .by_cookie
                .insert(now, cookie.clone(), until, id.clone());
        });
        cookie
    }

    /// Signs everybody out of a tenant in this browser.
    pub(crate) fn sign_out(&self, now: UnixTime, id: &BrowserId, tenant: Tenant) {
        self.0.with(|inner| {
            if let Some(all) = inner.signed_in.get_mut(now, &id.0) {
                all.retain(|one| one.tenant != tenant);
            }
        });
    }

    /// Forgets all browsers.
    pub(crate) fn clear(&self) {
        self.0.with(|inner| {
            inner.by_cookie.clear();
            inner.signed_in.clear();
        });
    }
}

/// The cookie's name has the port in it: browsers share cookies between the ports of a host.
fn cookie_name(port: u16) -> String {
    format!("keyward-dev-{port}")
}

/// The value of `Set-Cookie`. Not `Secure`, as loopback is plain http; no script sees it, and no
/// other site's form sends it.
pub(crate) fn set_cookie(port: u16, value: &str) -> String {
    format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Lax",
        cookie_name(port)
    )
}

fn cookie(call: &Call, port: u16) -> Option<String> {
    let name = cookie_name(port);
    let values = call.headers.get_all(http::header::COOKIE);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}
