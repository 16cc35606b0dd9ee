//! Reads the records back.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::time::{Duration, UNIX_EPOCH};

use keyward_client::audit::{AuditPage, AuditQuery, AuditRecord};

use super::entry::time;
use super::file::Trail;

/// How much of records one answer holds, in bytes; half of what a message may.
const LARGEST_PAGE: usize = 512 * 1024;
/// The last second of the year 9999, the last one RFC 3339 can write.
const END_OF_TIME: u64 = 253_402_300_799;
/// Longer than any record.
const LONGEST_LINE: u64 = 64 * 1024;

/// The records that fit the query, oldest first. Lines that are no records, such as one a crash
/// cut short, are passed over.
pub(super) fn page(trail: &Trail, query: &AuditQuery, last: u64) -> io::Result<AuditPage> {
    let mut page = match query.after {
        Some(after) => oldest_after(trail, query, after)?,
        None => newest(trail, query)?,
    };
    page.last = last;
    Ok(page)
}

/// The number of the last record in a file, or 0.
pub(super) fn last_of(mut file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2 * LONGEST_LINE)))?;
    let mut end = Vec::new();
    file.take(2 * LONGEST_LINE).read_to_end(&mut end)?;
    let last = end
        .rsplit(|byte| *byte == b'\n')
        .find_map(|line| serde_json::from_slice::<AuditRecord>(line).ok());
    Ok(last.map_or(0, |record| record.seq))
}

/// Records that fit, and how large they are together.
#[derive(Default)]
struct Found {
    records: VecDeque<(AuditRecord, usize)>,
    bytes: usize,
}

impl Found {
    fn push(&mut self, record: AuditRecord, bytes: usize) {
        self.bytes += bytes;
        self.records.push_back((record, bytes));
    }

    fn is_over(&self, limit: usize) -> bool {
        self.records.len() > limit || (self.bytes > LARGEST_PAGE && self.records.len() > 1)
    }

    fn drop_first(&mut self) {
        if let Some((_, bytes)) = self.records.pop_front() {
            self.bytes -= bytes;
        }
    }

    fn page(self, more: bool) -> AuditPage {
        AuditPage {
            records: self.records.into_iter().map(|(record, _)| record).collect(),
            last: 0,
            more,
        }
    }
}

fn newest(trail: &Trail, query: &AuditQuery) -> io::Result<AuditPage> {
    let limit = query.limit.clamp(1, AuditQuery::LIMIT);
    let (mut found, mut more) = (Found::default(), false);
    // All are opened before any is read, the newest first: a rotation meanwhile shows a file
    // twice at most, and hides none.
    for file in files(trail)? {
        let mut here = Found::default();
        let upto = found.records.front().map(|(record, _)| record.seq);
        each(file, query, |record, bytes| {
            if upto.is_some_and(|upto| record.seq >= upto) {
                return true;
            }
            here.push(record, bytes);
            if here.is_over(limit) {
                here.drop_first();
                more = true;
            }
            true
        })?;
        here.bytes += found.bytes;
        here.records.append(&mut found.records);
        found = here;
        while found.is_over(limit) {
            found.drop_first();
            more = true;
        }
        if more {
            break;
        }
    }
    Ok(found.page(more))
}

fn oldest_after(trail: &Trail, query: &AuditQuery, after: u64) -> io::Result<AuditPage> {
    let limit = query.limit.clamp(1, AuditQuery::LIMIT);
    let (mut found, mut more) = (Found::default(), false);
    let mut seen = after;
    let mut files = files(trail)?;
    files.reverse();
    for mut file in files {
        if more {
            break;
        }
        if (1..=after).contains(&last_of(&file)?) {
            continue;
        }
        file.rewind()?;
        each(file, query, |record, bytes| {
            if record.seq <= seen {
                return true;
            }
            seen = record.seq;
            found.push(record, bytes);
            if found.is_over(limit) {
                found.records.pop_back();
                more = true;
            }
            !more
        })?;
    }
    Ok(found.page(more))
}

/// The files there are, newest first.
fn files(trail: &Trail) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for age in 0..trail.files {
        match File::open(trail.file(age)) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Hands on each record of a file that fits, until told to stop.
fn each(
    file: File,
    query: &AuditQuery,
    mut then: impl FnMut(AuditRecord, usize) -> bool,
) -> io::Result<()> {
    let since = query
        .since
        .map(|seconds| time(UNIX_EPOCH + Duration::from_secs(seconds.min(END_OF_TIME))));
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        if query
            .after
            .is_some_and(|after| number(&line).is_some_and(|seq| seq <= after))
        {
            continue;
        }
        let Ok(record) = serde_json::from_slice::<AuditRecord>(&line) else {
            continue;
        };
        let fits = query.before.is_none_or(|before| record.seq < before)
            && query.after.is_none_or(|after| record.seq > after)
            && since.as_ref().is_none_or(|since| record.time >= *since)
            && (query.client_id.is_none() || record.client_id == query.client_id);
        if fits && !then(record, line.len()) {
            return Ok(());
        }
    }
}

/// The number of the record on a line, without reading all of it.
fn number(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"v\":1,\"seq\":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use keyward_broker_ipc::service::{Caller, Via};

    use super::super::entry::Entry;
    use super::super::file::TrailFile;
    use super::*;

    /// Records 1 to 100 over several files, of two clients in turn, a second apart.
    fn trail(dir: &tempfile::TempDir) -> Trail {
        let trail = Trail {
            folder: dir.path().join("audit"),
            largest: 3000,
            files: 20,
        };
        let mut file = TrailFile::new(trail.clone());
        file.ready().unwrap();
        let entry = Entry::new("status", &Caller::new(1, Some(2), Via::Socket));
        for seq in 1..=100 {
            let record = AuditRecord {
                seq,
                time: time(UNIX_EPOCH + Duration::from_secs(seq)),
                client_id: Some(format!("client-{}", seq % 2)),
                ..entry.record(None)
            };
            file.write(&[record]).unwrap();
        }
        assert!(trail.file(4).exists());
        trail
    }

    fn seqs(trail: &Trail, query: &AuditQuery) -> (Vec<u64>, bool) {
        let page = page(trail, query, 100).unwrap();
        assert_eq!(page.last, 100);
        (
            page.records.iter().map(|record| record.seq).collect(),
            page.more,
        )
    }

    fn at_most(limit: usize) -> AuditQuery {
        AuditQuery {
            limit,
            ..AuditQuery::default()
        }
    }

    #[test]
    fn the_newest_are_given_and_then_those_before_them() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir);
        assert_eq!(seqs(&trail, &at_most(3)), (vec![98, 99, 100], true));
        let before = AuditQuery {
            before: Some(98),
            ..at_most(97)
        };
        assert_eq!(seqs(&trail, &before), ((1..98).collect(), false));
        assert_eq!(seqs(&trail, &at_most(500)), ((1..=100).collect(), false));
    }

    #[test]
    fn whoever_follows_sees_each_record_once() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir);
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let query = AuditQuery {
                after: Some(after),
                ..at_most(7)
            };
            let (page, more) = seqs(&trail, &query);
            after = *page.last().unwrap();
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn conditions_hold_together() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(&dir);
        let query = AuditQuery {
            since: Some(90),
            client_id: Some("client-0".to_owned()),
            ..at_most(3)
        };
        assert_eq!(seqs(&trail, &query), (vec![96, 98, 100], true));
        let none = AuditQuery {
            since: Some(u64::MAX),
            ..at_most(3)
        };
        assert_eq!(seqs(&trail, &none), (vec![], false));
    }

    #[test]
    fn a_page_fits_a_message() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail {
            folder: dir.path().join("audit"),
            largest: 1 << 20,
            files: 20,
        };
        let mut file = TrailFile::new(trail.clone());
        file.ready().unwrap();
        let entry = Entry::new("status", &Caller::new(1, Some(2), Via::Socket));
        for seq in 1..=100 {
            let record = AuditRecord {
                seq,
                scopes: vec!["x".repeat(20_000)],
                ..entry.record(None)
            };
            file.write(&[record]).unwrap();
        }
        for (after, first) in [(None, 76), (Some(0), 1)] {
            let query = AuditQuery {
                after,
                ..at_most(500)
            };
            let (page, more) = seqs(&trail, &query);
            assert!(more && (20..30).contains(&page.len()), "{page:?}");
            assert_eq!(page[0], first);
        }
    }
}
