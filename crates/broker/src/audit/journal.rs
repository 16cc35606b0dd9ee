//! Records in systemd's journal, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one datagram each, every value a field.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use keyward_client::audit::{AuditRecord, Source};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long the journal may take to make room.
const PATIENCE: Duration = Duration::from_secs(1);
/// `info` of syslog.
const PRIORITY: &str = "6";

/// The way to the journal.
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self::at(PathBuf::from(SOCKET))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    ///
    /// When there is no journal.
    pub(super) fn ready(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.path)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            self.socket = Some(socket);
        }
        Ok(())
    }

    /// Sends records. How many it took until one could not be sent.
    pub(super) fn write(&mut self, records: &[AuditRecord]) -> (usize, io::Result<()>) {
        for (sent, record) in records.iter().enumerate() {
            let taken = match &self.socket {
                Some(socket) => socket.send(&fields(record)).map(drop),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            if let Err(error) = taken {
                // A journal that was restarted listens on a new socket.
                self.socket = None;
                return (sent, Err(error));
            }
        }
        (records.len(), Ok(()))
    }
}

fn fields(record: &AuditRecord) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(1024);
    let mut field = |name: &str, value: &str| add(&mut datagram, name, value);
    let AuditRecord {
        operation, outcome, ..
    } = record;
    field("MESSAGE", &format!("{operation}: {outcome}"));
    field("PRIORITY", PRIORITY);
    field("SYSLOG_IDENTIFIER", "keywardd");
    field("KEYWARD_AUDIT", &record.v.to_string());
    field("KEYWARD_SEQ", &record.seq.to_string());
    field("KEYWARD_TIME", &record.time);
    field("KEYWARD_OPERATION", operation);
    field("KEYWARD_VERDICT", record.verdict.as_str());
    field("KEYWARD_OUTCOME", outcome);
    field("KEYWARD_DURATION_US", &record.duration_us.to_string());
    let who = &record.who;
    field("KEYWARD_WHO_UID", &who.uid.to_string());
    field("KEYWARD_WHO_VIA", &who.via);
    let pid = who.pid.map(|pid| pid.to_string());
    let many = |number: u64| (number > 0).then(|| number.to_string());
    let (repeated, lost) = (many(record.repeated), many(record.lost));
    let source = record.source.map(Source::as_str);
    for (name, value) in [
        ("KEYWARD_WHO_PID", pid.as_deref()),
        ("KEYWARD_WHO_BUS_NAME", who.bus_name.as_deref()),
        ("KEYWARD_WHO_EXECUTABLE", who.executable.as_deref()),
        ("KEYWARD_WHO_SANDBOX", who.sandbox.as_deref()),
        ("KEYWARD_CLIENT_ID", record.client_id.as_deref()),
        ("KEYWARD_ACCOUNT", record.account.as_deref()),
        ("KEYWARD_RULE", record.rule.as_deref()),
        ("KEYWARD_SOURCE", source),
        ("KEYWARD_BINDING", record.binding.as_deref()),
        ("KEYWARD_KEY_PROTECTION", record.key_protection.as_deref()),
        ("KEYWARD_ERROR", record.error.as_deref()),
        ("KEYWARD_CORRELATION_ID", record.correlation_id.as_deref()),
        ("KEYWARD_REPEATED", repeated.as_deref()),
        ("KEYWARD_LOST", lost.as_deref()),
    ] {
        if let Some(value) = value {
            field(name, value);
        }
    }
    for scope in &record.scopes {
        field("KEYWARD_SCOPE", scope);
    }
    datagram
}

/// `NAME=value`, or where the value has lines of its own, its length before it.
fn add(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use keyward_broker_ipc::service::{Caller, Via};

    use super::super::entry::Entry;
    use super::*;

    fn record() -> AuditRecord {
        let caller = Caller::new(1000, Some(42), Via::Socket);
        let mut entry = Entry::new("acquire_token_silent", &caller);
        entry.scopes = ["User.Read", "Mail.Read"].into_iter().collect();
        AuditRecord {
            seq: 7,
            client_id: Some("two\nlines".to_owned()),
            ..entry.record(None)
        }
    }

    #[test]
    fn every_value_is_a_field_of_one_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listening = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::at(path);
        journal.ready().unwrap();
        assert_eq!(journal.write(&[record(), record()]).0, 2);
        let mut datagram = [0; 4096];
        let length = listening.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]);
        for field in [
            "MESSAGE=acquire_token_silent: done\n",
            "SYSLOG_IDENTIFIER=keywardd\n",
            "KEYWARD_AUDIT=1\n",
            "KEYWARD_SEQ=7\n",
            "KEYWARD_WHO_PID=42\n",
            "KEYWARD_VERDICT=allow\n",
            "KEYWARD_SCOPE=User.Read\nKEYWARD_SCOPE=Mail.Read\n",
            "KEYWARD_CLIENT_ID\n\u{9}\0\0\0\0\0\0\0two\nlines\n",
        ] {
            assert!(text.contains(field), "{field:?} in {text:?}");
        }
        assert!(!text.contains("KEYWARD_ACCOUNT"));
    }

    #[test]
    fn a_journal_that_is_away_is_an_error_and_its_successor_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut journal = Journal::at(path.clone());
        journal.ready().unwrap_err();
        let first = UnixDatagram::bind(&path).unwrap();
        journal.ready().unwrap();
        drop(first);
        let (sent, outcome) = journal.write(&[record()]);
        assert_eq!(sent, 0);
        outcome.unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let _second = UnixDatagram::bind(&path).unwrap();
        journal.ready().unwrap();
        journal.write(&[record()]).1.unwrap();
    }
}
