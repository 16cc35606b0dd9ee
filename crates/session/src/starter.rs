//! Starting keywardd on demand.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use keyward_broker_ipc::client::error::{AcquireTokenError, ErrorKind};
use keyward_broker_ipc::proxy::Starter;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::readiness::Readiness;

/// How long keywardd may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The variable that names a file for keywardd's log.
const LOG_VARIABLE: &str = "KEYWARD_KEYWARDD_LOG";

/// Where systemd's journal takes lines.
const JOURNAL: &str = "/run/systemd/journal/stdout";

/// Starts the user's own keywardd. It outlives this process and this bus.
pub(crate) struct KeywarddStarter {
    socket: PathBuf,
}

impl KeywarddStarter {
    /// For a keywardd that will listen on this socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    fn failed(reason: &str) -> AcquireTokenError {
        AcquireTokenError::new(
            ErrorKind::BrokerUnavailable,
            format!("keywardd cannot be started: {reason}; try `keyward doctor`"),
        )
    }
}

#[async_trait]
impl Starter for KeywarddStarter {
    async fn start(&self) -> Result<(), AcquireTokenError> {
        let program = find_keywardd()
            .ok_or_else(|| Self::failed("it is neither beside keyward-session nor in $PATH"))?;
        let folder = self.socket.parent().unwrap_or(Path::new("/"));
        make_private(folder).map_err(|error| Self::failed(&error.to_string()))?;
        let path = folder.join(format!("starting-{}", std::process::id()));
        let readiness = Readiness::bind(path).map_err(|error| Self::failed(&error.to_string()))?;
        let (name, value) = readiness.variable();
        let mut child = Command::new(&program)
            .env(name, value)
            // Whatever the bus started is us, not what we start.
            .env_remove("DBUS_STARTER_ADDRESS")
            .env_remove("DBUS_STARTER_BUS_TYPE")
            // The library under the TPM reports every refusal, also of what is tried again.
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_of_keywardd(Path::new(JOURNAL)))
            // Out of this process's group: what ends us must not end the holder of the tokens.
            .process_group(0)
            .spawn()
            .map_err(|error| Self::failed(&format!("{}: {error}", program.display())))?;
        tracing::info!(pid = child.id(), "started keywardd");
        tokio::select! {
            ready = readiness.wait() => {
                ready.map_err(|error| Self::failed(&error.to_string()))?;
                reap(child);
                Ok(())
            }
            // It gives way to one that somebody else started at the same time.
            ended = child.wait() => match ended {
                _ if UnixStream::connect(&self.socket).await.is_ok() => Ok(()),
                Ok(status) => Err(Self::failed(&format!("it ended with {status}"))),
                Err(error) => Err(Self::failed(&error.to_string())),
            },
            () = tokio::time::sleep(READY_WITHIN) => {
                Err(Self::failed("it did not get ready in time"))
            }
        }
    }
}

/// Where keywardd's log lines go. It outlives this process, so never to where this one's go: whoever
/// reads those to the end would wait for keywardd's.
fn log_of_keywardd(journal: &Path) -> Stdio {
    let named = env::var_os(LOG_VARIABLE).filter(|path| !path.is_empty());
    if let Some(path) = named {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        match file {
            Ok(file) => return file.into(),
            Err(error) => tracing::warn!(%error, "the file ${LOG_VARIABLE} names cannot be used"),
        }
    }
    in_journal(journal).map_or_else(|_| Stdio::null(), |lines| OwnedFd::from(lines).into())
}

/// A stream of lines into the journal, as `sd_journal_stream_fd(3)` opens it: identifier, no unit,
/// priority, no priorities in the lines, and neither syslog nor kernel log nor console.
fn in_journal(journal: &Path) -> io::Result<StdUnixStream> {
    let mut stream = StdUnixStream::connect(journal)?;
    stream.shutdown(Shutdown::Read)?;
    stream.write_all(b"keywardd\n\n6\n0\n0\n0\n0\n")?;
    Ok(stream)
}

/// Takes note of keywardd's end whenever that will be, so that no zombie stays.
fn reap(mut child: Child) {
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            tracing::info!(%status, "keywardd ended");
        }
    });
}

/// The runtime folder is only this user's; keywardd insists on it as well.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder)
}

/// `$KEYWARD_KEYWARDD`, else beside this program, else in `$PATH`.
fn find_keywardd() -> Option<PathBuf> {
    if let Some(named) = env::var_os("KEYWARD_KEYWARDD").filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let beside = env::current_exe()
        .ok()
        .and_then(|this| Some(this.parent()?.to_owned()));
    let path: OsString = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).filter(|folder| folder.is_absolute()))
        .map(|folder| folder.join("keywardd"))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_journal_is_told_whose_lines_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert!(in_journal(&path).is_err());
        let journal = UnixListener::bind(&path).unwrap();
        let mut lines = in_journal(&path).unwrap();
        lines.write_all(b"serving\n").unwrap();
        drop(lines);
        let mut taken = String::new();
        let (mut stream, _) = journal.accept().unwrap();
        stream.read_to_string(&mut taken).unwrap();
        assert_eq!(taken, "keywardd\n\n6\n0\n0\n0\n0\nserving\n");
    }
}
