//! What is on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::vault;
use super::{Attempt, Bag, Target};

/// Larger files hold no secret of ours.
const LARGEST: u64 = 16 * 1024 * 1024;

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    let mut attempts = vec![
        Attempt::of("files", "read every file the broker has", |bag| {
            let mut count = Count::default();
            for place in &target.places {
                read_all(place, bag, &mut count);
            }
            Ok(count.to_string())
        }),
        Attempt::of("files", "read what leads to a core dump", |bag| {
            let pattern = fs::read("/proc/sys/kernel/core_pattern")?;
            bag.keep(pattern);
            let mut count = Count::default();
            for folder in ["/var/lib/systemd/coredump", "/var/crash", "/cores"] {
                read_all(Path::new(folder), bag, &mut count);
            }
            Ok(count.to_string())
        }),
        Attempt::of(
            "files",
            "link and move the vault to where it can be read",
            |bag| {
                let away = target.den.join("moved");
                fs::rename(&target.state, &away).and_then(|()| {
                    let mut count = Count::default();
                    read_all(&away, bag, &mut count);
                    fs::rename(&away, &target.state)?;
                    Ok(count.to_string())
                })
            },
        ),
    ];
    attempts.push(vault::from_a_copy(target));
    attempts
}

#[derive(Default)]
struct Count {
    read: usize,
    refused: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files read, {} refused", self.read, self.refused)
    }
}

fn read_all(path: &Path, bag: &mut Bag, count: &mut Count) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        count.refused += 1;
        return;
    };
    if metadata.is_dir() {
        match entries(path) {
            Ok(entries) => {
                for entry in entries {
                    read_all(&entry, bag, count);
                }
            }
            Err(_) => count.refused += 1,
        }
    } else if metadata.is_file() && metadata.len() <= LARGEST {
        match fs::read(path) {
            Ok(bytes) => {
                count.read += 1;
                bag.keep(bytes);
            }
            Err(_) => count.refused += 1,
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

/// Copies a folder, each file only for this user.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(to)?;
    for entry in entries(from)? {
        let name = entry.file_name().unwrap_or_default();
        let target = to.join(name);
        if entry.is_dir() {
            copy_folder(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
