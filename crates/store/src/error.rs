//! What a failure of the database or the operating system is called.

use std::io;
use std::path::Path;

use keyward_client::ports::StoreError;
use rusqlite::ErrorCode;

/// Names a failure of SQLite.
pub(crate) fn of_database(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::InUse("another program has the database open".to_owned())
        }
        // `Unknown` is SQLite's word for a statement that does not fit the tables: ours do, unless
        // the tables were changed.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            StoreError::Damaged(format!("the database is damaged ({error})"))
        }
        Some(_) => StoreError::Io(error.to_string()),
        None => of_content(error),
    }
}

/// Names what is wrong with the content: a value of another type than was written, or tables our
/// statements do not fit.
fn of_content(error: &rusqlite::Error) -> StoreError {
    match error {
        // Without the statement, which is ours and tells nobody anything.
        rusqlite::Error::SqlInputError { msg, .. } => {
            StoreError::Damaged(format!("the database is damaged ({msg})"))
        }
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows => {
            StoreError::Damaged(format!("the database is damaged ({error})"))
        }
        other => StoreError::Io(other.to_string()),
    }
}

/// The cryptographic library refused; it has no reason to.
pub(crate) fn refused() -> StoreError {
    StoreError::Io("the cryptographic library refused".to_owned())
}

/// Names a failure of the operating system.
pub(crate) fn of_io(action: &str, path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Io(format!("cannot {action} {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_operating_system_says_keeps_its_name() {
        let name = |errno: Errno| of_io("write", Path::new("/v"), &errno.into());
        assert_eq!(name(Errno::NOSPC), StoreError::Full);
        assert_eq!(name(Errno::DQUOT), StoreError::Full);
        assert_eq!(name(Errno::ROFS), StoreError::ReadOnly);
        let other = name(Errno::ACCESS).to_string();
        assert!(
            other.contains("cannot write /v: Permission denied"),
            "{other}"
        );
    }
}
