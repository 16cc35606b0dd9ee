//! Our broker: its socket, whether it answers, and whether it can work.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use keyward::manage::{ManageAnswer, ManageRequest};
use keyward::{AcquireTokenError, PublicClientApplication};
use keyward::{BrokerStatus, Configuration, ErrorKind, NativeBrokerPlugin};
use keyward_config::{BrokerPlace, Environment, Form};

use super::check::Check;
use crate::commands::device;

const SOCKET: &str = "broker socket";
const HARDENING: &str = "hardening";
const KEYS: &str = "keys";
const VAULT: &str = "vault";
const CONFIGURATION: &str = "configuration in force";

/// Looks at the socket and asks who answers there. `starts`: whether a broker that is not running
/// would be started when it is needed.
pub async fn check(environment: &Environment, starts: bool) -> Vec<Check> {
    let (path, form) = match BrokerPlace::find(environment) {
        Ok(place) => (place.socket.value, place.form),
        Err(error) => {
            return vec![Check::fail(
                SOCKET,
                ErrorKind::IncorrectConfiguration,
                error.to_string(),
                "set KEYWARD_SOCKET to an absolute path in a folder only you may enter",
            )];
        }
    };
    // Who could have made the system's socket is looked at when it is connected to.
    if form == Form::Session
        && let Some(loose) = loose(&path, environment.uid())
    {
        return vec![loose];
    }
    let plugin = NativeBrokerPlugin::at_socket(&path);
    match plugin.broker_status().await {
        Ok(status) => {
            let mut checks = vec![answers(&path, &status)];
            checks.extend(hardening(&status));
            checks.extend(outdated(&status));
            checks.extend(keys(&plugin).await);
            checks.push(working(&status, plugin).await);
            checks
        }
        Err(error) if form == Form::System => vec![Check::fail(
            SOCKET,
            error.kind(),
            error.message(),
            "systemctl restart keywardd, and look at journalctl -u keywardd",
        )],
        Err(error) => vec![silent(&path, &error, starts)],
    }
}

fn answers(path: &Path, status: &BrokerStatus) -> Check {
    Check::ok(
        SOCKET,
        format!(
            "keywardd {} answers at {} ({} form)",
            status.version,
            path.display(),
            status.form
        ),
    )
}

/// What holds the keys, and what should be done about it.
async fn keys(plugin: &NativeBrokerPlugin) -> Option<Check> {
    // A broker that cannot say says more with its vault.
    let ManageAnswer::Device(report) = plugin.manage(ManageRequest::Device).await.ok()? else {
        return None;
    };
    let decided = report.decision.as_ref().map(device::decided);
    let text = match decided {
        Some(decided) => format!("new keys: {}; {decided}", report.key_protection),
        None => format!("new keys: {}", report.key_protection),
    };
    Some(if report.problems.is_empty() {
        Check::ok(KEYS, text)
    } else {
        let text = format!("{text}; {}", report.problems.join("; "));
        Check::warn(KEYS, text, "keyward device show")
    })
}

/// Whether it works by another configuration than the one that was found to be in order.
fn outdated(status: &BrokerStatus) -> Option<Check> {
    let why = status.outdated.as_deref()?;
    Some(Check::warn(CONFIGURATION, why, "restart keywardd"))
}

/// What the kernel keeps it from. What it does not, although it should, is among the problems.
fn hardening(status: &BrokerStatus) -> Option<Check> {
    let in_force = status.hardening.join(", ");
    (!in_force.is_empty()).then(|| Check::ok(HARDENING, in_force))
}

fn silent(path: &Path, error: &AcquireTokenError, starts: bool) -> Check {
    if error.kind() == ErrorKind::BrokerUnavailable && starts {
        return Check::ok(
            SOCKET,
            format!(
                "no keywardd at {} yet; it is started when it is needed",
                path.display()
            ),
        );
    }
    Check::fail(
        SOCKET,
        error.kind(),
        error.message(),
        "run keywardd, or keyward-session, which starts it",
    )
}

/// Whether requests can succeed. A broker whose vault or configuration cannot be used answers
/// every one with the reason.
async fn working(status: &BrokerStatus, plugin: NativeBrokerPlugin) -> Check {
    let doctor = Configuration::builder("keyward-doctor").native_broker_plugin(plugin);
    let asked = match PublicClientApplication::new(doctor.build()) {
        Ok(application) => application.accounts().await,
        Err(error) => Err(error),
    };
    if let Err(error) = asked {
        return Check::fail(VAULT, error.kind(), error.message(), remedy(error.kind()));
    }
    if status.problems.is_empty() {
        let accounts = status.accounts.len();
        return Check::ok(VAULT, format!("it is open; {accounts} signed in"));
    }
    Check::warn(VAULT, status.problems.join("; "), "keyward status")
}

fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::IncorrectConfiguration => "keyward config check",
        _ => "mend what it says; keywardd looks again with the next request",
    }
}

/// A socket or a folder that somebody else could have put there, or may use.
fn loose(path: &Path, uid: u32) -> Option<Check> {
    let folder = path.parent()?;
    let of_folder = fs::metadata(folder).ok()?;
    let fail = |message: String, mend: String| {
        Some(Check::fail(
            SOCKET,
            ErrorKind::IncorrectConfiguration,
            message,
            mend,
        ))
    };
    if of_folder.uid() != uid {
        return fail(
            format!("{} belongs to uid {}", folder.display(), of_folder.uid()),
            "set KEYWARD_SOCKET to an absolute path in a folder of your own".to_owned(),
        );
    }
    if of_folder.mode() & 0o077 != 0 {
        let mode = of_folder.mode() & 0o7777;
        return fail(
            format!("{} is open to others (mode {mode:04o})", folder.display()),
            format!("chmod 700 {}", folder.display()),
        );
    }
    let of_socket = fs::symlink_metadata(path).ok()?;
    if !of_socket.file_type().is_socket() || of_socket.uid() != uid {
        return fail(
            format!("{} is not a socket of yours", path.display()),
            format!("rm {}", path.display()),
        );
    }
    if of_socket.mode() & 0o077 != 0 {
        let mode = of_socket.mode() & 0o7777;
        return fail(
            format!("{} is open to others (mode {mode:04o})", path.display()),
            format!("chmod 600 {}", path.display()),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::State;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_open_to_others_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let uid = fs::metadata(folder.path()).unwrap().uid();
        let path = folder.path().join("broker.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mend = || loose(&path, uid).and_then(|check| check.mend);

        set_mode(&path, 0o600);
        set_mode(folder.path(), 0o755);
        assert!(mend().unwrap().starts_with("chmod 700 "));
        set_mode(folder.path(), 0o700);
        assert_eq!(mend(), None);
        set_mode(&path, 0o666);
        assert!(mend().unwrap().starts_with("chmod 600 "));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(mend().unwrap().starts_with("rm "));
    }

    #[test]
    fn a_broker_that_starts_when_needed_need_not_run() {
        let error = AcquireTokenError::new(ErrorKind::BrokerUnavailable, "nobody");
        let path = Path::new("/run/x");
        assert_eq!(silent(path, &error, true).state, State::Ok);
        assert_eq!(silent(path, &error, false).state, State::Fail);
        let other = AcquireTokenError::new(ErrorKind::TooManyRequests, "busy");
        assert_eq!(silent(path, &other, true).state, State::Fail);
    }
}
