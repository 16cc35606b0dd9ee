//! What is recorded of every outcome, where, and how much one caller may ask for.

use std::fmt;

use crate::origin::{Origin, Setting};

/// The record of outcomes.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where it goes. What an administrator chose is not changed by others.
    pub to: Setting<AuditDestination>,
    /// Whether nothing is answered that cannot be recorded. An administrator's `true` cannot be
    /// switched off by others.
    pub required: Setting<bool>,
    /// How large a file may become, in MiB.
    pub file_mib: Setting<u32>,
    /// How many files are kept, the current one included.
    pub files: Setting<u32>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            to: Setting::default_of(AuditDestination::File),
            required: Setting::default_of(false),
            file_mib: Setting::default_of(8),
            files: Setting::default_of(8),
        }
    }
}

/// Where the record of outcomes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditDestination {
    /// To a file in the state folder, kept small by rotation: `keyward audit` shows it.
    File,
    /// To systemd's journal.
    Journald,
    /// Nowhere.
    Off,
}

impl AuditDestination {
    pub(crate) const ALL: &[Self] = &[Self::File, Self::Journald, Self::Off];
}

impl fmt::Display for AuditDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Journald => "journald",
            Self::Off => "off",
        })
    }
}

/// How much one caller may ask for over time. What is already there costs next to nothing; what
/// reaches an authority is what a flood would hurt.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// Requests a second of one caller, after a burst of [`BURST_SECONDS`](Self::BURST_SECONDS)
    /// times as many.
    pub requests_per_second: Setting<u32>,
    /// Requests a minute of one caller that reach an authority, after a burst of as many.
    pub network_per_minute: Setting<u32>,
}

impl RateLimits {
    /// How many seconds' worth of requests a caller that was quiet may make at once.
    pub const BURST_SECONDS: u32 = 50;
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            requests_per_second: Setting::default_of(10_000),
            network_per_minute: Setting::default_of(600),
        }
    }
}

impl Setting<AuditDestination> {
    /// Replaces the value, unless it is an administrator's.
    pub(crate) fn choose(
        &mut self,
        value: AuditDestination,
        origin: &Origin,
    ) -> Result<(), String> {
        if self.origin.is_administrator() && !origin.is_administrator() && value != self.value {
            return Err(format!(
                "\"{value}\" would replace \"{}\", which {} chose",
                self.value, self.origin
            ));
        }
        self.set(value, origin);
        Ok(())
    }
}
