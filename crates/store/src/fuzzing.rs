//! What only fuzzing reaches into.

use keyward_client::binding::KeyProtection;

use crate::image;
use crate::seal::{DATA_KEY, NAME_KEY, Refused, Seal, Secrets, VAULT_ID, decode};

/// Opens a record at a place. Nothing but what was sealed there opens.
pub fn open_record(name: &[u8], sealed: &[u8]) -> bool {
    let secrets = Secrets::from_bytes(&[1; DATA_KEY + NAME_KEY]);
    let seal = secrets
        .ok_or(Refused)
        .and_then(|secrets| Seal::new(secrets, KeyProtection::Software, [3; VAULT_ID]));
    seal.is_ok_and(|seal| {
        seal.open(name, sealed.to_vec()).is_ok() || seal.open_epoch(1, sealed).is_some()
    })
}

/// Reads what was sealed, as a record.
pub fn read_record(text: &[u8]) -> bool {
    decode(text).is_some()
}

/// Reads a database and its log as on a read-only file system.
pub fn read_image(database: Vec<u8>, log: &[u8]) -> bool {
    let image = image::open(database, log);
    let count = image.and_then(|image| {
        image.query_row("SELECT count(*) FROM record", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    count.is_ok()
}
