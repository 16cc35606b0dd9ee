//! The record as a whole, on a disk that fails and one that does not.

use std::fs;
use std::path::PathBuf;

use keyward_broker_ipc::service::{Caller, Via};
use keyward_client::audit::{AuditRecord, Source};
use keyward_client::oauth::identifiers::HomeAccountId;
use keyward_config::{Environment, Permit};
use tempfile::TempDir;

use super::*;

/// A state folder, and what the configuration says.
struct Place {
    dir: TempDir,
    settings: Settings,
}

impl Place {
    fn new(audit: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, format!("[audit]\n{audit}\n")).unwrap();
        let environment = Environment::empty().with_variable("KEYWARD_CONFIG", file);
        let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
        Self {
            dir,
            settings: config.audit,
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The record, and what is ready when it is closed.
    fn start(&self) -> (Audit, watch::Receiver<()>) {
        let (in_use, ended) = watch::channel(());
        (Audit::start(&self.settings, &self.state(), in_use), ended)
    }

    fn records(&self) -> Vec<AuditRecord> {
        let text = fs::read_to_string(self.state().join("audit/audit.jsonl")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn hit(user: &str) -> Entry {
    let caller = Caller::new(1000, Some(42), Via::Socket);
    let mut entry = Entry::new("acquire_token_silent", &caller);
    entry.account = Some(HomeAccountId::new(user, "tenant"));
    entry.source = Some(Source::Cache);
    entry
}

#[tokio::test]
async fn whatever_was_recorded_is_written_before_the_end() {
    let place = Place::new("");
    for run in 0..3 {
        let (audit, mut ended) = place.start();
        for _ in 0..700 {
            audit.record(hit("alice"));
        }
        audit.record(hit("bob"));
        drop(audit);
        while ended.changed().await.is_ok() {}
        let seqs = place.records().into_iter().map(|record| record.seq);
        assert!(seqs.eq(1..=701 * (run + 1)));
    }
}

#[tokio::test]
async fn an_account_is_known_again_and_not_known_to_others() {
    let (here, elsewhere) = (Place::new(""), Place::new(""));
    let mut names = Vec::new();
    for place in [&here, &here, &elsewhere] {
        let (audit, _) = place.start();
        audit.record(hit("alice"));
        audit.record(hit("bob"));
        audit.flush().await;
        let records = place.records();
        let last: Vec<_> = records.iter().rev().take(2).collect();
        names.push((
            last[1].account.clone().unwrap(),
            last[0].account.clone().unwrap(),
        ));
        let text = format!("{records:?}");
        assert!(
            !text.contains("alice") && !text.contains("tenant"),
            "{text}"
        );
    }
    assert_ne!(names[0].0, names[0].1);
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0].0, names[2].0);
}

#[tokio::test]
async fn what_was_recorded_a_moment_ago_can_be_read() {
    let place = Place::new("");
    let (audit, _ended) = place.start();
    audit.record(hit("alice"));
    let query = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    let page = audit.page(query.clone()).await.unwrap();
    assert_eq!((page.records.len(), page.last), (1, 1));
    let later = AuditQuery {
        after: Some(1),
        ..query
    };
    assert_eq!(audit.page(later.clone()).await.unwrap().records, []);
    audit.record(hit("alice"));
    let page = audit.page(later).await.unwrap();
    assert_eq!((page.records[0].seq, page.last), (2, 2));
}

#[tokio::test]
async fn what_could_not_be_written_is_said_and_counted() {
    let place = Place::new("");
    // Where the folder should be, there is something else.
    fs::write(place.state(), "").unwrap();
    let (audit, _ended) = place.start();
    assert!(audit.problem().unwrap().contains("audit.jsonl: "));
    audit.record(hit("alice"));
    audit.record(hit("alice"));
    audit.flush().await;
    let problem = audit.problem().unwrap();
    assert!(problem.contains("(2 not recorded)"), "{problem}");
    // Nobody is kept from anything.
    audit.admit().unwrap();

    fs::remove_file(place.state()).unwrap();
    audit.record(hit("alice"));
    audit.flush().await;
    assert_eq!(audit.problem(), None);
    let [record] = &place.records()[..] else {
        panic!("{:?}", place.records());
    };
    assert_eq!((record.seq, record.lost), (3, 2));
}

#[tokio::test]
async fn where_records_are_demanded_nothing_is_answered_without() {
    let place = Place::new("required = true");
    fs::write(place.state(), "").unwrap();
    let (audit, _ended) = place.start();
    let error = audit.admit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("config.toml:2 demands"), "{error}");
    fs::remove_file(place.state()).unwrap();
    // The refusal is an outcome, too, and finds that it works again.
    audit.record(hit("alice"));
    audit.flush().await;
    audit.admit().unwrap();

    let place = Place::new("required = true\nto = \"off\"");
    let (off, _ended) = place.start();
    off.admit().unwrap_err();
}

#[tokio::test]
async fn where_it_is_not_kept_here_it_is_said_where_it_is() {
    for (to, says) in [
        ("journald", "journalctl -t keywardd"),
        ("off", "nowhere (audit.to, "),
    ] {
        let place = Place::new(&format!("to = \"{to}\""));
        let (audit, _ended) = place.start();
        let error = audit.page(AuditQuery::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        assert!(error.message().contains(says), "{error}");
        audit.record(hit("alice"));
        assert!(!place.state().join("audit/audit.jsonl").exists());
    }
}
