//! What the kernel is told keywardd will never do again.
//!
//! keywardd holds everything worth stealing and needs little: its own folders, its socket, its
//! TPM, the network. Once everything that needs more is open, it gives the rest up, for good and
//! for every thread it will ever start. Whoever then finds a way to run code in here can neither
//! read the person's files, nor leave anything behind, nor start a program.
//!
//! - **No new privileges** (`prctl(2)`): nothing executed could gain any.
//! - **Landlock** (`landlock(7)`): which files may be touched, and that nothing listens on TCP.
//! - **seccomp** (`seccomp(2)`): which system calls may be made.
//!
//! An older kernel may lack the last two, or parts of Landlock. Then keywardd serves with what
//! there is, and says so in its log and its status: less protection is no reason to leave somebody
//! without tokens.

mod files;
mod system_calls;

use std::path::PathBuf;
use std::sync::OnceLock;

use keyward_client::ports::BrokerStatus;
use keyward_config::{Config, Hardening};

/// The files keywardd still touches. Those that do not exist are left out.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Files are made, read, changed and removed in these folders and below.
    pub(crate) write: Vec<PathBuf>,
    /// Files are removed from these folders: the socket, at the end.
    pub(crate) clear: Vec<PathBuf>,
    /// These files, and those in these folders and below, are read.
    pub(crate) read: Vec<PathBuf>,
    /// These devices are read and written.
    pub(crate) devices: Vec<PathBuf>,
}

/// What is in force, in words for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// What keywardd cannot do any more.
    pub(crate) in_force: Vec<String>,
    /// What it still can although it should not, and why.
    pub(crate) missing: Vec<String>,
}

/// What to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) landlock: bool,
    pub(crate) seccomp: bool,
}

impl Wanted {
    /// As configured; everything where the configuration cannot be read.
    pub(crate) fn of(config: Option<&Config>) -> Self {
        let default = Hardening::default();
        let hardening = config.map_or(&default, |config| &config.hardening);
        Self {
            landlock: hardening.landlock.value,
            seccomp: hardening.seccomp.value,
        }
    }
}

/// Gives up what keywardd has no use for. There is no way back.
///
/// Holds for the calling thread and the threads it starts from now on, so it is called before
/// there are others.
pub(crate) fn enter(wanted: Wanted, reach: &Reach) -> Confinement {
    let mut confinement = Confinement::default();
    let privileges = rustix::thread::set_no_new_privs(true).map_err(|errno| errno.to_string());
    confinement.note("no new privileges", privileges.map(|()| None));
    if wanted.landlock {
        confinement.note("landlock", files::restrict(reach));
    } else {
        confinement.switched_off("landlock");
    }
    if wanted.seccomp {
        confinement.note("seccomp", system_calls::restrict().map(|()| None));
    } else {
        confinement.switched_off("seccomp");
    }
    confinement
}

/// Gives up everything but reading links and what files are: for the one thread that stays outside
/// Landlock. Says whether the kernel sees to that.
///
/// It shares memory with the others, so whoever took over keywardd could make it do whatever it may
/// do: it opens no file, writes none, and has no use for the sockets and files of the others.
pub(crate) fn only_links() -> bool {
    system_calls::only_links()
        .inspect_err(|error| tracing::warn!(error, "callers' programs cannot be looked up"))
        .is_ok()
}

impl Confinement {
    /// Takes note of one step: what it left out, or why it failed.
    fn note(&mut self, what: &str, outcome: Result<Option<String>, String>) {
        match outcome {
            Ok(None) => self.in_force.push(what.to_owned()),
            Ok(Some(detail)) => self.in_force.push(format!("{what} ({detail})")),
            Err(why) => self.missing.push(format!("{what} is not in force: {why}")),
        }
    }

    fn switched_off(&mut self, what: &str) {
        let why = format!("{what} is not in force: `hardening.{what}` is false");
        self.missing.push(why);
    }
}

/// What is in force in this process.
static IN_FORCE: OnceLock<Confinement> = OnceLock::new();

impl Confinement {
    /// Says in the log, and from now on in the status, what is in force in this process.
    pub(crate) fn announce(self) {
        for missing in &self.missing {
            tracing::warn!("{missing}");
        }
        tracing::debug!(in_force = self.in_force.join(", "), "restricted");
        let _ = IN_FORCE.set(self);
    }
}

/// Adds to a status what the kernel keeps this process from, and what it does not although it
/// should. Nothing in a process that is shared with others.
pub(crate) fn report(status: &mut BrokerStatus) {
    let Some(confinement) = IN_FORCE.get() else {
        return;
    };
    let mut in_force = confinement.in_force.clone();
    match keyward_locked_memory::refused() {
        None => in_force.push("master keys locked in memory".to_owned()),
        Some(why) => status.problems.push(format!(
            "master keys may be written to swap: {why}; raise the limit on locked memory \
             (LimitMEMLOCK= in the unit, or `ulimit -l`)"
        )),
    }
    status.hardening = in_force;
    status.problems.extend_from_slice(&confinement.missing);
}

#[cfg(test)]
mod tests;
