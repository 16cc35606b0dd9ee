//! The file of a vault, changed anywhere: what is served is what was written.
#![no_main]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Change, Record, RecordKey, RecordKind, RecordStore};
use keyward_store::{KeyProvider, KeyWrap, Rollback, StateFolder, Vault, WrapError};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// Wraps nothing: a changed key is one more thing to survive.
struct InClear;

impl KeyWrap for InClear {
    fn wrap(&self, key: &[u8], _: &[u8]) -> Result<Vec<u8>, WrapError> {
        Ok(key.to_vec())
    }

    fn unwrap(&self, wrapped: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }
}

const VALUES: [&[u8]; 3] = [b"one", b"two", b"three"];

struct Bench {
    runtime: Runtime,
    dir: TempDir,
    whole: Vec<u8>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let dir = folder();
    let vault = open(dir.path()).expect("a new vault");
    let changes = VALUES.iter().enumerate().map(|(number, value)| {
        Change::Put(Record {
            key: RecordKey {
                kind: RecordKind::RefreshToken,
                account: format!("account {number}"),
                client: "client".to_owned(),
                detail: String::new(),
            },
            value: Zeroizing::new(value.to_vec()),
            protection: KeyProtection::Software,
        })
    });
    let written = runtime.block_on(vault.apply(changes.collect()));
    written.expect("records");
    drop(vault);
    let whole = fs::read(dir.path().join("vault.db")).expect("a vault");
    Bench {
        runtime,
        dir,
        whole,
    }
});

fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o700));
    let in_memory = builder.tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| builder.tempdir())
        .expect("a temporary folder")
}

fn open(folder: &Path) -> Option<Vault> {
    let provider = KeyProvider {
        protection: KeyProtection::Software,
        wrap: Box::new(InClear),
        rollback: Rollback::Undetected,
    };
    Vault::open(&StateFolder::single(folder), vec![provider]).ok()
}

// Where, and what is put there; and how long the file is, if it is cut.
fuzz_target!(|changes: (Vec<(u16, u8)>, Option<u16>)| {
    let mut content = BENCH.whole.clone();
    for (at, byte) in &changes.0 {
        let at = usize::from(*at) % content.len();
        content[at] = *byte;
    }
    if let Some(length) = changes.1 {
        content.truncate(usize::from(length));
    }
    let database = BENCH.dir.path().join("vault.db");
    let _ = fs::remove_file(BENCH.dir.path().join("vault.db-wal"));
    fs::write(&database, &content).expect("a file");
    let Some(vault) = open(BENCH.dir.path()) else {
        return;
    };
    let mut each = |record: Result<Record, _>| {
        if let Ok(record) = record {
            assert!(VALUES.contains(&record.value.as_slice()));
        }
    };
    let _ = BENCH.runtime.block_on(vault.load(&mut each));
    let _ = BENCH.runtime.block_on(vault.check());
    let _ = BENCH.runtime.block_on(vault.repair(true));
});
