//! Configuration files, whoever wrote them: read, explained, and compared with the defaults.
#![no_main]

use std::sync::LazyLock;

use keyward_config::{Environment, Permit};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder"));

fuzz_target!(|text: &[u8]| {
    let file = FOLDER.path().join("config.toml");
    std::fs::write(&file, text).expect("a file can be written");
    let environment = Environment::empty().with_variable("KEYWARD_CONFIG", &file);
    match keyward_config::load(&environment, Permit::ConfiguredOnly) {
        Ok(config) => {
            let _ = config.warnings();
        }
        // Every problem names where it is.
        Err(error) => assert!(error.to_string().contains("config.toml")),
    }
});
