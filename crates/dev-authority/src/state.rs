//! Everything the authority knows. It is all in memory; a restart keeps it
//! ([`Stopped`](crate::Stopped)), a new process starts empty.

use std::sync::Arc;
use std::time::Duration;

use keyward_oauth::time::UnixTime;

use crate::clients::{Clients, StrictClient};
use crate::clock::Clock;
use crate::expiring::Expiring;
use crate::faults::Faults;
use crate::grants::codes::Codes;
use crate::grants::consents::Consents;
use crate::grants::devices::Devices;
use crate::grants::refresh::RefreshTokens;
use crate::keys::SigningKeys;
use crate::locked::Locked;
use crate::nonces::Nonces;
use crate::random;
use crate::replays::Replays;
use crate::request_log::RequestLog;
use crate::settings::Settings;
use crate::signin::browsers::Browsers;
use crate::signin::sitting::Sittings;
use crate::tls::Tls;
use crate::users::Directory;

/// Everything the authority knows.
pub(crate) struct State {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: SigningKeys,
    pub(crate) clients: Clients,
    pub(crate) users: Directory,
    pub(crate) browsers: Browsers,
    pub(crate) sittings: Sittings,
    pub(crate) consents: Consents,
    pub(crate) codes: Codes,
    pub(crate) devices: Devices,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) nonces: Nonces,
    pub(crate) replays: Replays,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    pub(crate) tls: Tls,
    /// What only the starter knows.
    pub(crate) admin_token: String,
    /// The port it listens on.
    pub(crate) port: u16,
    settings: Locked<Settings>,
    revoked_access_tokens: Locked<Expiring<()>>,
}

impl State {
    /// A new authority that nobody has signed in to.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        settings: Settings,
        keys: SigningKeys,
        (clients, port): (Vec<StrictClient>, u16),
    ) -> Result<Self, String> {
        Ok(Self {
            clock,
            keys,
            clients: Clients::new(clients),
            users: Directory::new(),
            browsers: Browsers::new(),
            sittings: Sittings::new(),
            consents: Consents::default(),
            codes: Codes::new(),
            devices: Devices::new(),
            refresh_tokens: RefreshTokens::default(),
            nonces: Nonces::new(),
            replays: Replays::new(),
            faults: Faults::default(),
            log: RequestLog::default(),
            tls: Tls::generate()?,
            admin_token: random::secret(),
            port,
            settings: Locked::new(settings),
            revoked_access_tokens: Locked::new(Expiring::new(100_000)),
        })
    }

    /// How the authority behaves at the moment.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.with(|settings| *settings)
    }

    /// Changes how the authority behaves.
    pub(crate) fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.settings
            .with(|settings| settings.access_token_lifetime = lifetime);
    }

    /// Refuses one access token from now on.
    pub(crate) fn revoke_access_token(&self, now: UnixTime, id: &str, expires: UnixTime) {
        self.revoked_access_tokens
            .with(|revoked| revoked.insert(now, id.to_owned(), expires, ()));
    }

    /// Whether an access token was revoked.
    pub(crate) fn is_access_token_revoked(&self, now: UnixTime, id: &str) -> bool {
        self.revoked_access_tokens
            .with(|revoked| revoked.get(now, id).is_some())
    }

    /// Forgets everybody and everything but the keys.
    pub(crate) fn reset(&self) {
        self.users.reset();
        self.browsers.clear();
        self.sittings.clear();
        self.consents.clear();
        self.codes.clear();
        self.devices.clear();
        self.refresh_tokens.clear();
        self.faults.clear();
        self.log.clear();
        self.revoked_access_tokens.with(Expiring::clear);
    }
}
