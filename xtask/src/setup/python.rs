//! The Python packages of the end-to-end tests: unmodified MSAL Python and Microsoft's runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::{Failure, Outcome, must, output, root};

/// Where a Python that can make environments may be: what the user prefers, and the system's.
const INTERPRETERS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// Fails unless environments can be made and the pinned packages run (3.10 and newer).
const SUITS: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";

/// The first Python that will do.
pub fn interpreter() -> Option<&'static str> {
    let suits = |python: &&str| output(Command::new(python).args(["-c", SUITS])).is_some();
    INTERPRETERS.into_iter().find(suits)
}

/// Installs exactly the files whose hashes `requirements.txt` names, building none, into an
/// environment of their own. Says whether there was anything to do.
///
/// Where they cannot be had, that is said and only MSAL Python's own tests are left out: unlike the
/// Node.js packages they are the subject of no other test. Files other than those named are an
/// error.
pub fn install() -> Result<bool, Failure> {
    let project = project();
    if is_installed() {
        return Ok(false);
    }
    println!("setup: installing MSAL Python and Microsoft's runtime for it from PyPI");
    make_environment(&project)?;
    if !install_packages(&project)? {
        println!("setup: MSAL Python cannot be had, and its end-to-end tests are left out");
        return Ok(true);
    }
    let (from, stamp) = (project.join("requirements.txt"), stamp(&project));
    fs::copy(from, &stamp)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))?;
    Ok(true)
}

/// Whether what `requirements.txt` names is installed, for a Python that is still there.
pub fn is_installed() -> bool {
    let project = project();
    let wanted = fs::read(project.join("requirements.txt"));
    // A copy of the file that was installed says whether the folder is up to date.
    let installed = fs::read(stamp(&project));
    let up_to_date = wanted.is_ok_and(|wanted| installed.is_ok_and(|there| there == wanted));
    up_to_date && output(Command::new(python(&project)).arg("--version")).is_some()
}

fn make_environment(project: &Path) -> Outcome {
    let Some(interpreter) = interpreter() else {
        return Err(Failure::new("there is no Python 3.10 or newer with venv"));
    };
    let environment = project.join(".venv");
    must(
        Command::new(interpreter)
            .args(["-m", "venv", "--clear"])
            .arg(environment),
    )
}

/// False where the packages cannot be had.
fn install_packages(project: &Path) -> Result<bool, Failure> {
    let mut pip = Command::new(python(project));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"]);
    // Without a network it has to give up before anybody else does.
    pip.args(["--retries", "2", "--timeout", "60"]);
    pip.args(["--disable-pip-version-check", "--require-hashes"]);
    pip.args(["--only-binary", ":all:", "--requirement"]);
    pip.arg(project.join("requirements.txt"));
    let ended = pip.stdin(Stdio::null()).stdout(Stdio::inherit()).output();
    let ended = ended.map_err(|error| Failure::new(format!("cannot run pip: {error}")))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    eprint!("{said}");
    if said.contains("DO NOT MATCH THE HASHES") {
        return Err(Failure::new(
            "the registry has other files than requirements.txt names; install nothing from it",
        ));
    }
    Ok(ended.status.success())
}

fn python(project: &Path) -> PathBuf {
    project.join(".venv/bin/python")
}

fn stamp(project: &Path) -> PathBuf {
    project.join(".venv/installed-requirements.txt")
}

/// The Python programs of the end-to-end tests.
fn project() -> PathBuf {
    root().join("tests/e2e/python")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_by_hash_and_none_names_a_registry() {
        let text = fs::read_to_string(project().join("requirements.txt")).unwrap();
        assert!(!text.contains("://"));
        let whole = text.replace("\\\n", " ");
        let packages = whole.lines().filter(|line| !line.starts_with('#'));
        let packages: Vec<_> = packages.collect();
        assert!(packages.len() > 5, "{packages:?}");
        for package in &packages {
            let pinned = package.contains("==") && package.contains("--hash=sha256:");
            assert!(pinned, "{package}");
        }
        for package in ["msal==1.39.0 ", "pymsalruntime==0.20.7 "] {
            assert!(
                packages.iter().any(|line| line.starts_with(package)),
                "{package}"
            );
        }
    }
}
