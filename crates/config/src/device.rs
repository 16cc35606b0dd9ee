//! Which device holds the keys, and how it is reached.

use std::fmt;
use std::time::Duration;

use crate::origin::Setting;

/// Where new binding keys are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProtectionChoice {
    /// In a TPM 2.0. Without one nothing works.
    Tpm,
    /// In a file only the user may read.
    Software,
    /// In a TPM if one can be reached when this is decided, which is once.
    TpmOrSoftware,
}

impl KeyProtectionChoice {
    pub(crate) const ALL: &[Self] = &[Self::Tpm, Self::Software, Self::TpmOrSoftware];
}

impl fmt::Display for KeyProtectionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tpm => "tpm",
            Self::Software => "software",
            Self::TpmOrSoftware => "tpm-or-software",
        })
    }
}

/// The TPM, and whether its keys want a PIN.
#[derive(Clone, Debug)]
pub struct TpmSettings {
    /// How it is reached, as tpm2-tss spells it (TCTI): `device:PATH`, `swtpm:…`, `tabrmd`.
    pub tcti: Setting<String>,
    /// Whether new keys want a PIN.
    pub pin: Setting<PinChoice>,
    /// How long a PIN is kept in memory after it was asked for.
    pub pin_kept: Setting<Duration>,
}

impl Default for TpmSettings {
    fn default() -> Self {
        Self {
            // The kernel's resource manager: any number of programs may use it at once.
            tcti: Setting::default_of("device:/dev/tpmrm0".to_owned()),
            pin: Setting::default_of(PinChoice::None),
            pin_kept: Setting::default_of(Duration::from_secs(300)),
        }
    }
}

/// Whether new keys want a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinChoice {
    /// They do not.
    None,
    /// The person is asked for it.
    Ask,
}

impl PinChoice {
    pub(crate) const ALL: &[Self] = &[Self::None, Self::Ask];
}

impl fmt::Display for PinChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Ask => "ask",
        })
    }
}

/// Where the key is kept that seals software keys and what is bound to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrappingKeyPlace {
    /// In a file only the user may read.
    File,
    /// In the Secret Service of the user's session, sealed by the login password.
    SecretService,
}

impl WrappingKeyPlace {
    pub(crate) const ALL: &[Self] = &[Self::File, Self::SecretService];
}

impl fmt::Display for WrappingKeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::SecretService => "secret-service",
        })
    }
}
