//! Configuration: layers, the origin of every value, and places.
//!
//! Layers, weakest first: built-in defaults, `/etc/keyward/config.toml`, the user's
//! `$XDG_CONFIG_HOME/keyward/config.toml` (or the file `$KEYWARD_CONFIG` names), `KEYWARD_…`
//! variables, flags, and what a program adds itself. What the administrator's file says under
//! `require_*` and `[[authority]]` can only be tightened by the others.
//!
//! A broken file is an error value that names file and line; who runs with it decides what still
//! works. Only [`Environment::of_process`] and [`supervisor`] read the process environment.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod audit;
mod authority;
mod device;
mod document;
mod environment;
mod error;
mod explain;
mod form;
mod hardening;
mod key;
mod nearest;
mod origin;
mod places;
mod policy;
mod settings;
pub mod supervisor;

pub use audit::{Audit, AuditDestination, RateLimits};
pub use authority::{Authority, AuthorityEntry, AuthorityKind, DpopUse, WELL_KNOWN_HOSTS};
pub use device::{KeyProtectionChoice, PinChoice, TpmSettings, WrappingKeyPlace};
pub use environment::{Environment, FlagName};
pub use error::{ConfigError, Problem};
pub use explain::Explanation;
pub use form::{BrokerPlace, Form};
pub use hardening::{Hardening, IdleExit};
pub use origin::{FileLayer, Origin, Setting};
pub use places::{PlaceError, Places};
pub use policy::{Policy, PolicyRule, Verdict};
pub use settings::{CommandLineDefaults, Config, RequiredBinding, RequiredKeyProtection};

/// Whether well-known hosts (Microsoft's sign-in hosts) may be mapped to another authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permit {
    /// They may not. Every program but `keyward-dev`.
    #[default]
    ConfiguredOnly,
    /// They may, and a broker then knows none but the configured ones. Only `keyward-dev` passes
    /// this: it binds to loopback only and says what it is.
    WellKnownHosts,
}

/// Reads every layer `environment` names.
///
/// # Errors
///
/// Everything that is wrong in any layer, each with its file and line or its variable. Nothing of
/// a configuration with a problem is used: half of an administrator's file would be less than they
/// asked for.
pub fn load(environment: &Environment, permit: Permit) -> Result<Config, ConfigError> {
    match examine(environment, permit) {
        (config, None) => Ok(config),
        (_, Some(error)) => Err(error),
    }
}

/// Reads every layer `environment` names, to show what is in them: what could be read, and what is
/// wrong with the rest. With an error, none of it may be used.
pub fn examine(environment: &Environment, permit: Permit) -> (Config, Option<ConfigError>) {
    let mut draft = settings::Draft::new(environment, permit);
    for (layer, path) in environment.config_files() {
        draft.file(layer, &path);
    }
    draft.variables(environment);
    draft.flags(environment);
    draft.program(environment);
    draft.finish()
}

#[cfg(test)]
mod tests;
