//! Where new keys are made: decided once, at the first start, and written down with the reason.
//!
//! Afterwards the file decides, or the configuration where it names one protection. A TPM that
//! fails later is an error for whoever needs it, never a reason to go on with keys in files.

use std::fmt;
use std::path::{Path, PathBuf};

use keyward_client::binding::KeyProtection;
use keyward_client::manage::{self, BoundAccount};
use keyward_client::oauth::time::UnixTime;
use keyward_config::{KeyProtectionChoice, Origin, Setting};
use keyward_keystore::Device;
use keyward_keystore::tpm::Probe;
use serde::{Deserialize, Serialize};

use crate::durable;

/// The file's name, beside the folder of the keys.
pub(crate) const FILE: &str = "key-protection.json";
/// The version of the file's format. A newer one is refused.
const VERSION: u32 = 1;

/// A decision as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    version: u32,
    /// Where new keys are made.
    pub(crate) choice: KeyProtection,
    cause: Cause,
    /// In plain words.
    pub(crate) reason: String,
    /// RFC 3339.
    pub(crate) decided_at: String,
    /// Who made the TPM.
    #[serde(default)]
    maker: Option<String>,
    /// The keys that a move to new ones has not replaced yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) to_replace: Vec<String>,
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    /// A TPM answered.
    Reachable,
    /// There is one that this user may not use.
    NoPermission,
    /// There is none.
    Absent,
    /// There is something that does not answer as it should.
    Failed,
    /// This program cannot speak with one.
    NotBuilt,
    /// The configuration names one protection.
    Configured,
    /// A person moved the keys there.
    Rebind,
}

/// A decision, and what the configuration says by now.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    configured: Setting<KeyProtectionChoice>,
}

/// Why there is no decision to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionError {
    /// The file is none of ours, or was changed.
    #[error(
        "{} is damaged ({reason}): where keys are made is not decided anew behind anybody's back; \
         put the file back, or remove it to have that decided again (no key is lost by that)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is newer than this program.
    #[error("{} was written by a newer version of keywardd: use that one", .0.display())]
    Newer(PathBuf),
    /// Reading or writing went wrong.
    #[error("where keys are made cannot be {action} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
}

impl Decision {
    /// Reads the decision in a folder. `None`: there is none yet.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, DecisionError> {
        let path = folder.join(FILE);
        let text = durable::read(&path).map_err(|error| DecisionError::Io {
            action: "read from",
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let Some(text) = text else {
            return Ok(None);
        };
        let damaged = |error: serde_json::Error| DecisionError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        };
        let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
        if version.version > VERSION {
            return Err(DecisionError::Newer(path));
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Writes it down in a folder: whole and durable when this returns, or not at all.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), DecisionError> {
        let path = folder.join(FILE);
        let failed = |reason: String| DecisionError::Io {
            action: "written to",
            path: path.clone(),
            reason,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.to_string()))?;
        durable::write(&path, &text).map_err(|error| failed(error.to_string()))
    }

    /// What a person decided: keys move there, and these are to be replaced.
    pub(crate) fn rebound(
        choice: KeyProtection,
        device: &Device,
        to_replace: Vec<String>,
        now: UnixTime,
    ) -> Self {
        let reason = "`keyward device rebind` was asked for".to_owned();
        Self {
            maker: device.maker.clone(),
            to_replace,
            ..Self::new(choice, Cause::Rebind, reason, now)
        }
    }

    /// The keys that are still to be replaced: those that something is bound to.
    pub(crate) fn left_of(&self, bound: &[BoundAccount]) -> Vec<String> {
        let in_use = |key: &&String| bound.iter().any(|one| one.key.as_ref() == Some(key));
        self.to_replace.iter().filter(in_use).cloned().collect()
    }

    fn new(choice: KeyProtection, cause: Cause, reason: String, now: UnixTime) -> Self {
        Self {
            version: VERSION,
            choice,
            cause,
            reason,
            decided_at: now.rfc3339(),
            maker: None,
            to_replace: Vec::new(),
        }
    }

    /// By what a TPM answered, or why none did.
    fn by_probe(probe: Probe, now: UnixTime) -> Self {
        let software = |cause, reason| Self::new(KeyProtection::Software, cause, reason, now);
        match probe {
            Probe::Reachable(device) => Self {
                maker: device.maker.clone(),
                ..Self::new(
                    KeyProtection::Tpm,
                    Cause::Reachable,
                    format!("a TPM can be reached ({})", Named(&device)),
                    now,
                )
            },
            Probe::NoPermission { device, hint } => software(
                Cause::NoPermission,
                format!("there is a TPM, but no permission to open {device}: {hint}"),
            ),
            Probe::Absent { reason } => {
                software(Cause::Absent, format!("there is no TPM: {reason}"))
            }
            Probe::Failed { reason } => software(
                Cause::Failed,
                format!("there is a TPM, but it cannot be used: {reason}"),
            ),
            Probe::NotBuilt => software(
                Cause::NotBuilt,
                "this keywardd was built without the feature tpm".to_owned(),
            ),
        }
    }
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Decided {
    /// The decision in a folder; made and written down, if there is none. `probe` may wait for a
    /// TPM and is only called where it matters.
    pub(crate) fn of(
        folder: &Path,
        configured: &Setting<KeyProtectionChoice>,
        probe: impl FnOnce() -> Probe,
        now: UnixTime,
    ) -> Result<Self, DecisionError> {
        let decision = if let Some(decision) = Decision::read(folder)? {
            decision
        } else {
            let decision = if let Some(choice) = explicit(configured) {
                let reason = format!("the configuration says so ({})", configured.origin);
                Decision::new(choice, Cause::Configured, reason, now)
            } else {
                Decision::by_probe(probe(), now)
            };
            decision.write(folder)?;
            let Decision { choice, reason, .. } = &decision;
            tracing::info!(key_protection = %choice, reason, "decided where keys are made");
            decision
        };
        Ok(Self {
            decision,
            configured: configured.clone(),
        })
    }

    /// Where new keys are made.
    pub(crate) fn choice(&self) -> KeyProtection {
        explicit(&self.configured).unwrap_or(self.decision.choice)
    }

    /// The one protection the configuration names, if it does, and where.
    pub(crate) fn configured(&self) -> Option<(KeyProtection, &Origin)> {
        let choice = explicit(&self.configured)?;
        Some((choice, &self.configured.origin))
    }

    /// Another decision, by the same configuration.
    pub(crate) fn with(&self, decision: Decision) -> Self {
        Self {
            decision,
            configured: self.configured.clone(),
        }
    }

    /// As it is shown.
    pub(crate) fn report(&self) -> manage::Decision {
        let Decision {
            choice,
            reason,
            decided_at,
            maker,
            ..
        } = &self.decision;
        manage::Decision {
            choice: *choice,
            reason: reason.clone(),
            decided_at: decided_at.clone(),
            maker: maker.clone(),
        }
    }

    /// Whether keys are in files although the configuration would rather have them in a TPM: it is
    /// worth looking for one from time to time.
    pub(crate) fn would_rather_have_a_tpm(&self) -> bool {
        self.choice() == KeyProtection::Software
            && explicit(&self.configured).is_none()
            && self.decision.cause != Cause::Rebind
    }

    /// What to tell a person about it. `probe`: what a TPM says now, where that matters.
    pub(crate) fn remarks(&self, probe: Option<&Probe>) -> Vec<String> {
        let mut remarks = Vec::new();
        let Decision {
            choice,
            reason,
            cause,
            decided_at,
            ..
        } = &self.decision;
        match probe {
            Some(Probe::Reachable(device)) => remarks.push(format!(
                "new keys are made in software since {decided_at}, because {reason}; a TPM can be \
                 reached now ({}): `keyward device rebind` moves every account to it",
                Named(device)
            )),
            Some(Probe::NoPermission { device, hint }) => remarks.push(format!(
                "new keys are made in software, because there is no permission to open {device}: \
                 {hint}; then `keyward device rebind`"
            )),
            _ if self.would_rather_have_a_tpm()
                && matches!(cause, Cause::NoPermission | Cause::Failed) =>
            {
                remarks.push(format!("new keys are made in software, because {reason}"));
            }
            _ => {}
        }
        if let Some(configured) =
            explicit(&self.configured).filter(|configured| configured != choice)
        {
            remarks.push(format!(
                "{} makes new keys in {configured}; until then they were made in {choice}: `keyward \
                 device rebind` moves the accounts that are bound to those",
                self.configured.origin
            ));
        }
        remarks
    }
}

/// The one protection a configuration names, if it does.
fn explicit(configured: &Setting<KeyProtectionChoice>) -> Option<KeyProtection> {
    match configured.value {
        KeyProtectionChoice::Tpm => Some(KeyProtection::Tpm),
        KeyProtectionChoice::Software => Some(KeyProtection::Software),
        KeyProtectionChoice::TpmOrSoftware => None,
    }
}

/// A device in a few words.
struct Named<'a>(&'a Device);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device {
            maker,
            model,
            simulator,
            ..
        } = self.0;
        let words = [maker, model].into_iter().flatten().map(String::as_str);
        let words: Vec<&str> = words.chain(simulator.then_some("a simulator")).collect();
        match &words[..] {
            [] => f.write_str("it does not say who made it"),
            words => f.write_str(&words.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
