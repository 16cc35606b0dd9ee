//! `bench vault`: what a sealed record costs beside a row of the same size in bare SQLite with the
//! same settings.
//!
//! Both replace one row durably, and both read one row by its name and open it (AES-256-GCM), in
//! turns: the vault also finds its name, checks that it is in its place and reads its key, and
//! writing seals and goes through its thread. What 100,000 records cost in memory is
//! measured in a process of its own, which reads them all.

use std::error::Error;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Change, Record, RecordKey, RecordKind, RecordStore as _};
use keyward_store::{KeyProvider, KeyWrap, Rollback, StateFolder, Vault, WrapError};
use zeroize::Zeroizing;

use crate::report::{Compare, Report, rounded};
use crate::sample::Samples;

mod bare;

use bare::Bare;

/// Calls before the two take turns: few, so that both see the same machine.
const TURN: usize = 20;
/// The highest ratio that was aimed at.
const REACH: f64 = 1.3;
/// The most memory that was aimed at, in MiB.
const MEMORY: f64 = 25.0;
/// Bytes of a value: a record around a token of Entra ID.
const VALUE: usize = 2500;
/// Records that are written at once when a vault is filled.
const BATCH: usize = 500;

type Failure = Box<dyn Error>;

/// Arguments of `bench vault`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Small vaults and few calls: whether it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Where the vaults are put: a folder on a disk, not in memory.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Arguments of the process whose memory is measured.
#[derive(Args, Debug)]
pub struct MemoryArguments {
    /// The folder of a vault.
    folder: PathBuf,
}

/// Runs it.
pub async fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let (sizes, calls): (&[usize], usize) = if arguments.quick {
        (&[100, 1_000], 100)
    } else {
        (&[100, 10_000, 100_000], 2_000)
    };
    let mut report = Report::new("vault");
    for size in sizes {
        let mut builder = tempfile::Builder::new();
        builder.permissions(Permissions::from_mode(0o700));
        let folder = match &arguments.folder {
            Some(folder) => builder.tempdir_in(folder)?,
            None => builder.tempdir()?,
        };
        measure(&mut report, folder.path(), *size, calls).await?;
        let memory = memory_of(folder.path())?;
        report.extra(&format!("rss_mib_{size}"), rounded(memory));
    }
    report.extra("rss_reach_mib", MEMORY);
    report.extra("row_bytes", VALUE);
    Ok(report)
}

async fn measure(
    report: &mut Report,
    folder: &Path,
    size: usize,
    calls: usize,
) -> Result<(), Failure> {
    let vault = open(folder)?;
    fill(&vault, size).await?;
    drop(vault);
    let mut bare = Bare::beside(folder, size)?;
    let vault = open(folder)?;
    let empty = Samples::in_stretches_of(TURN);
    let (mut sealed, mut plain) = (empty.clone(), empty.clone());
    let mut pick = Pick::new(size);
    for _ in 0..calls.div_ceil(TURN) {
        for _ in 0..TURN {
            let row = pick.next();
            bare.renew()?;
            let start = Instant::now();
            bare.put(row)?;
            plain.push(start.elapsed());
        }
        for _ in 0..TURN {
            let change = vec![put(pick.next())];
            let start = Instant::now();
            vault.apply(change).await?;
            sealed.push(start.elapsed());
        }
    }
    let floor = ("bare SQLite", &plain);
    let case = format!("durable put, {size} records");
    report.row(&case, &sealed, floor, Compare::P50(REACH));

    let (mut sealed, mut plain) = (empty.clone(), empty);
    for _ in 0..calls.div_ceil(TURN) {
        for _ in 0..TURN {
            let row = pick.next();
            let start = Instant::now();
            let read = bare.get_and_open(row)?;
            plain.push(start.elapsed());
            drop(read);
        }
        for _ in 0..TURN {
            let key = key(pick.next());
            let start = Instant::now();
            let read = vault.get(&key)?;
            sealed.push(start.elapsed());
            // Forgetting it is its owner's.
            drop(read.ok_or("a record is missing")?);
        }
    }
    let floor = ("bare SQLite and AES-256-GCM", &plain);
    let case = format!("get and open, {size} records");
    report.row(&case, &sealed, floor, Compare::P50(REACH));
    Ok(())
}

async fn fill(vault: &Vault, size: usize) -> Result<(), Failure> {
    let rows: Vec<usize> = (0..size).collect();
    for batch in rows.chunks(BATCH) {
        let changes = batch.iter().map(|row| put(*row)).collect();
        vault.apply(changes).await?;
    }
    Ok(())
}

/// What this process costs in memory once it has read a whole vault.
pub async fn memory(arguments: &MemoryArguments) -> Result<(), Failure> {
    let vault = open(&arguments.folder)?;
    let mut records = 0_usize;
    let mut unreadable = 0_usize;
    let mut each = |record: Result<Record, _>| match record {
        Ok(_) => records += 1,
        Err(_) => unreadable += 1,
    };
    vault.load(&mut each).await?;
    if records == 0 || unreadable > 0 {
        return Err(format!("{records} records and {unreadable} problems").into());
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    writeln!(std::io::stdout(), "{}", kib.ok_or("no VmRSS")?)?;
    Ok(())
}

/// Memory in MiB of a process of its own.
fn memory_of(folder: &Path) -> Result<f64, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg("vault-memory")
        .arg(folder)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let kib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(kib / 1024.0)
}

fn open(folder: &Path) -> Result<Vault, Failure> {
    let provider = KeyProvider {
        protection: KeyProtection::Software,
        wrap: Box::new(InClear),
        rollback: Rollback::Undetected,
    };
    Ok(Vault::open(&StateFolder::single(folder), vec![provider])?)
}

fn key(row: usize) -> RecordKey {
    RecordKey {
        kind: RecordKind::RefreshToken,
        account: format!("00000000-0000-0000-0000-{row:012}.{row:036}@https://authority.test"),
        client: "11111111-2222-3333-4444-555555555555".to_owned(),
        detail: "refresh".to_owned(),
    }
}

fn put(row: usize) -> Change {
    Change::Put(Record {
        key: key(row),
        value: Zeroizing::new(vec![b'x'; VALUE]),
        protection: KeyProtection::Software,
    })
}

/// Rows in no order, the same in every run.
struct Pick {
    state: u64,
    size: usize,
}

impl Pick {
    fn new(size: usize) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            size,
        }
    }

    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // INVARIANT: the remainder is less than a usize.
        usize::try_from(self.state % self.size as u64).unwrap_or(0)
    }
}

/// Opening a vault is not what is measured.
struct InClear;

impl KeyWrap for InClear {
    fn wrap(&self, key: &[u8], _: &[u8]) -> Result<Vec<u8>, WrapError> {
        Ok(key.to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }
}
