//! What is wrong with a vault: everything is read once.

use std::collections::BTreeMap;

use keyward_client::binding::KeyProtection;
use keyward_client::manage::{
    DamagedRecord, Detection, ReadableRecords, RollbackDetection, SealedRecords, VaultReport,
};
use keyward_client::ports::{RecordKind, StoreError};

use crate::data_key::{DataKeys, State};
use crate::database::Database;
use crate::epoch::Epoch;
use crate::provider::Rollback;
use crate::scan::{Content, Found, Scan};

/// How many findings of SQLite's own check are told.
const FINDINGS: u32 = 20;

impl Database {
    /// Reads everything and says what is wrong. Changes nothing, but tries again to open data keys
    /// that could not be opened.
    ///
    /// # Errors
    ///
    /// When reading went wrong without damage.
    pub(crate) fn check(&mut self) -> Result<VaultReport, StoreError> {
        self.read_everything(|_, _| Ok(()))
    }

    /// Reads everything, hands over what may be kept, and says what is wrong.
    pub(crate) fn read_everything(
        &mut self,
        mut keep: impl FnMut(&DataKeys, &Found) -> Result<(), StoreError>,
    ) -> Result<VaultReport, StoreError> {
        self.open_data_keys()?;
        let mut report = VaultReport {
            path: self.path().display().to_string(),
            rollback: self.rollback(),
            ..VaultReport::default()
        };
        let mut readable = BTreeMap::<(RecordKind, &'static str), u64>::new();
        let mut scan = Scan::new();
        loop {
            let batch = scan.next(self)?;
            if batch.is_empty() {
                break;
            }
            for found in &batch {
                match &found.content {
                    Content::Record(record) => {
                        let place = (record.key.kind, record.protection.as_str());
                        *readable.entry(place).or_default() += 1;
                    }
                    Content::Damaged(reason) => report.damaged.push(DamagedRecord {
                        row: found.row,
                        reason: (*reason).to_owned(),
                    }),
                    Content::Sealed(_) => {}
                }
                keep(&self.data_keys, found)?;
            }
        }
        report.readable = readable
            .into_iter()
            .filter_map(|((kind, protection), records)| {
                Some(ReadableRecords {
                    kind,
                    key_protection: KeyProtection::parse(protection)?,
                    records,
                })
            })
            .collect();
        report.sealed = self.sealed(&scan);
        // What the index has lost as well is not known to anybody.
        report.missing = self.known().unwrap_or(0).saturating_sub(scan.found());
        report.problems = self.findings();
        let beyond = scan.damage().into_iter().chain(&self.notes);
        report.problems.extend(beyond.map(ToString::to_string));
        Ok(report)
    }

    /// What waits for a data key that is not open.
    fn sealed(&self, scan: &Scan) -> Vec<SealedRecords> {
        let waiting = scan.waiting().iter().filter_map(|(id, records)| {
            let key = self.data_keys.get(*id)?;
            let (lost, reason) = match &key.state {
                State::Open { .. } => return None,
                State::Lost(reason) => (true, reason),
                State::Unavailable(reason) => (false, reason),
            };
            Some(SealedRecords {
                key_protection: key.protection,
                records: *records,
                lost,
                reason: reason.clone(),
            })
        });
        waiting.collect()
    }

    fn rollback(&self) -> Vec<RollbackDetection> {
        let keys = self.data_keys.keys.iter();
        let open = keys.filter_map(|key| match &key.state {
            State::Open { epoch, .. } => Some((key.protection, epoch)),
            State::Lost(_) | State::Unavailable(_) => None,
        });
        open.map(|(key_protection, epoch)| RollbackDetection {
            key_protection,
            detection: match (self.data_keys.rollback(key_protection), epoch) {
                (Some(Rollback::Detected(_)), Epoch::At { .. }) => Detection::Device,
                (Some(Rollback::BestEffort(_)), Epoch::At { .. }) => Detection::BestEffort,
                _ => Detection::None,
            },
            epoch: match epoch {
                Epoch::At { value, .. } => Some(*value),
                Epoch::Uncounted => None,
            },
        })
        .collect()
    }

    /// What SQLite finds wrong with its own structures.
    fn findings(&self) -> Vec<String> {
        let query = format!("PRAGMA integrity_check({FINDINGS})");
        let findings = self.connection.prepare(&query).and_then(|mut statement| {
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        match findings {
            Ok(findings) => findings
                .into_iter()
                .filter(|finding| finding != "ok")
                .map(|finding| format!("the database is damaged ({})", finding.trim()))
                .collect(),
            Err(error) => vec![format!("the database is damaged ({error})")],
        }
    }
}
