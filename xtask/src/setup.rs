//! `cargo xtask setup`: what the tests need beside Rust and a C compiler.

pub mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{Failure, Outcome, cargo, in_path, must, output, root, show};

/// Installs what is missing and says why. Does nothing when all is there.
pub fn run() -> Outcome {
    let components = install_components()?;
    let packages = install_packages()?;
    let modules = install_node_modules()?;
    let msal_python = python::install()?;
    if !(components || packages || modules || msal_python) {
        println!("setup: everything is here");
    }
    Ok(())
}

/// Something the tests need, how to see whether it is there, and which Debian package has it.
struct Need {
    package: &'static str,
    why: &'static str,
    there: fn() -> bool,
}

const NEEDS: [Need; 13] = [
    Need {
        package: "dbus",
        why: "private session buses (dbus-daemon) and recordings of them (dbus-monitor)",
        there: || in_path("dbus-daemon") && in_path("dbus-monitor"),
    },
    Need {
        package: "gnome-keyring",
        why: "the Secret Service in which Microsoft's runtime keeps its accounts",
        there: || in_path("gnome-keyring-daemon"),
    },
    Need {
        package: "libwebkit2gtk-4.1-0",
        why: "Microsoft's runtime is linked against it",
        there: || has_library("libwebkit2gtk-4.1.so.0"),
    },
    Need {
        package: "libsecret-1-0",
        why: "Microsoft's runtime is linked against it",
        there: || has_library("libsecret-1.so.0"),
    },
    Need {
        package: "libsoup-3.0-0",
        why: "Microsoft's runtime is linked against it",
        there: || has_library("libsoup-3.0.so.0"),
    },
    Need {
        package: "nodejs",
        why: "runs msal-node and the third-party OpenID provider",
        there: || in_path("node"),
    },
    Need {
        package: "npm",
        why: "installs msal-node and the third-party OpenID provider",
        there: || in_path("npm"),
    },
    Need {
        package: "python3-venv",
        why: "runs MSAL Python, in an environment of its own",
        there: || python::interpreter().is_some(),
    },
    Need {
        package: "libtss2-dev",
        why: "the feature `tpm` is built against it",
        there: || is_pkg_config_module("tss2-esys"),
    },
    Need {
        package: "pkg-config",
        why: "finds libtss2",
        there: || in_path("pkg-config"),
    },
    Need {
        package: "swtpm",
        why: "software TPMs, one per test",
        there: || in_path("swtpm"),
    },
    Need {
        package: "tpm2-abrmd",
        why: "a TPM's resource manager, whose restart a test survives",
        there: || Path::new("/usr/sbin/tpm2-abrmd").exists(),
    },
    Need {
        package: "libtss2-tcti-tabrmd0",
        why: "reaches that resource manager",
        there: || has_library("libtss2-tcti-tabrmd.so.0"),
    },
];

/// The oldest npm that can install from the lock file.
const OLDEST_NPM: u32 = 10;

/// What takes an older one's place; runs on [`OLDEST_NODE`].
const NEWER_NPM: &str = "10.9.4";

/// The oldest Node.js on which the pinned packages were tried.
const OLDEST_NODE: u32 = 18;

fn install_packages() -> Result<bool, Failure> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.there)()).collect();
    if !missing.is_empty() {
        println!("setup: installing Debian packages");
        for need in &missing {
            println!("   {:<22} {}", need.package, need.why);
        }
        apt(&missing.iter().map(|need| need.package).collect::<Vec<_>>())?;
        let still: Vec<_> = missing.iter().filter(|need| !(need.there)()).collect();
        if let Some(need) = still.first() {
            let package = need.package;
            return Err(Failure::new(format!(
                "{package} was installed, but what it should bring is still missing"
            )));
        }
    }
    check_node_version()?;
    Ok(!missing.is_empty())
}

/// Updates the package lists once and installs these packages, as root or through sudo.
fn apt(packages: &[&str]) -> Outcome {
    let mut install = apt_get("install");
    install.args(["--yes", "--no-install-recommends"]);
    install.args(packages);
    if !in_path("apt-get") {
        let names = packages.join(" ");
        return Err(Failure::new(format!(
            "this is no Debian; install what these packages are called here and run \
             `cargo xtask setup` again: {names}"
        )));
    }
    if !is_root() && !in_path("sudo") {
        return Err(Failure::new(format!(
            "packages are missing and this user may not install them; run as root: {}",
            show(&install)
        )));
    }
    must(&mut privileged(&apt_get("update")))?;
    must(&mut privileged(&install))
}

fn apt_get(verb: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=900", verb]);
    command
}

/// The same command with the right to install, and without questions.
fn privileged(command: &Command) -> Command {
    let mut whole = Command::new(if is_root() { "env" } else { "sudo" });
    if !is_root() {
        whole.arg("env");
    }
    whole.arg("DEBIAN_FRONTEND=noninteractive");
    whole.arg(command.get_program()).args(command.get_args());
    whole
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_some_and(|uid| uid.trim() == "0")
}

fn has_library(name: &str) -> bool {
    // A user's PATH often lacks the folder of ldconfig.
    let cache = ["/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig"]
        .iter()
        .find_map(|program| output(Command::new(program).arg("-p")));
    cache.is_some_and(|cache| {
        cache
            .lines()
            .any(|line| line.split_whitespace().next() == Some(name))
    })
}

/// Whether a library's headers are there.
fn is_pkg_config_module(name: &str) -> bool {
    output(Command::new("pkg-config").args(["--modversion", name])).is_some()
}

fn check_node_version() -> Outcome {
    let version = output(Command::new("node").arg("--version")).unwrap_or_default();
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        _ => Err(Failure::new(format!(
            "node {} is too old; install Node.js {OLDEST_NODE} or newer",
            version.trim()
        ))),
    }
}

/// The first number of `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    let digits = version.trim().strip_prefix('v')?;
    digits.split('.').next()?.parse().ok()
}

fn install_components() -> Result<bool, Failure> {
    let tools = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing: Vec<&str> = tools
        .iter()
        .filter(|(verb, _)| output(&mut cargo(&[verb, "--version"])).is_none())
        .map(|(_, component)| *component)
        .collect();
    if missing.is_empty() {
        return Ok(false);
    }
    println!("setup: adding {} to the toolchain", missing.join(" and "));
    must(
        Command::new("rustup")
            .args(["component", "add"])
            .args(&missing),
    )?;
    Ok(true)
}

/// Installs exactly what the lock file names, without running any package's scripts.
fn install_node_modules() -> Result<bool, Failure> {
    let project = node_project();
    let lock = fs::read(project.join("package-lock.json"))
        .map_err(|error| Failure::new(format!("cannot read package-lock.json: {error}")))?;
    // A copy of the lock file that was installed says whether the folder is up to date.
    let stamp = project.join("node_modules/.installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(false);
    }
    println!("setup: installing msal-node, Microsoft's runtime and oidc-provider from npm");
    must(npm(&project)?.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    fs::write(&stamp, lock)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))?;
    Ok(true)
}

/// npm for this project. What Debian and Ubuntu call npm, 9.2, cannot read a lock file in which a
/// local package overrides another; through it, a newer one is used.
fn npm(project: &Path) -> Result<Command, Failure> {
    let version = output(Command::new("npm").arg("--version")).unwrap_or_default();
    let mut command = Command::new("npm");
    if major(&format!("v{version}")).is_some_and(|major| major >= OLDEST_NPM) {
        command.current_dir(project);
        return Ok(command);
    }
    if version.is_empty() {
        return Err(Failure::new("npm does not run; reinstall it"));
    }
    println!(
        "setup: npm {} is too old for this lock file, using npm@{NEWER_NPM}",
        version.trim()
    );
    // Not in the project's folder, whose lock file the old one would read first.
    command.current_dir(std::env::temp_dir());
    command.args([
        "exec",
        "--yes",
        "--package",
        &format!("npm@{NEWER_NPM}"),
        "--",
    ]);
    command.args(["npm", "--prefix"]).arg(project);
    Ok(command)
}

/// The npm project of the end-to-end tests.
pub fn node_project() -> PathBuf {
    root().join("tests/e2e/node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_missing_library_is_seen() {
        assert!(!has_library("libno-such-thing.so.7"));
        assert!(has_library("libc.so.6"));
    }

    #[test]
    fn packages_are_installed_without_recommendations_and_with_patience_for_the_lock() {
        let mut install = apt_get("install");
        install.args(["--yes", "--no-install-recommends", "dbus"]);
        let whole = show(&privileged(&install));
        assert!(
            whole.contains("DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=900")
        );
        assert!(whole.ends_with("install --yes --no-install-recommends dbus"));
    }

    #[test]
    fn the_lock_file_names_no_registry() {
        let lock = fs::read_to_string(node_project().join("package-lock.json")).unwrap();
        let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
        for (name, package) in lock["packages"].as_object().unwrap() {
            let resolved = package["resolved"].as_str().unwrap_or_default();
            assert!(
                !resolved.contains("://"),
                "{name} is resolved to {resolved}"
            );
        }
    }
}
