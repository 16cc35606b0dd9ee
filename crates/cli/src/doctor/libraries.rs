//! The libraries Microsoft's runtime is linked against. Without any one of them it does not load,
//! and unmodified clients quietly go on without a broker.

use keyward_config::Environment;

use super::check::Check;
use super::loader::Loader;

const NAME: &str = "libraries";

/// What `libmsalruntime.so` 0.20.7 (the build for Debian and Ubuntu) needs beside the C and C++
/// libraries, and the Debian packages that bring it.
const NEEDED: &[(&str, &str)] = &[
    ("libwebkit2gtk-4.1.so.0", "libwebkit2gtk-4.1-0"),
    (
        "libjavascriptcoregtk-4.1.so.0",
        "libjavascriptcoregtk-4.1-0",
    ),
    ("libgtk-3.so.0", "libgtk-3-0"),
    ("libgdk-3.so.0", "libgtk-3-0"),
    ("libsoup-3.0.so.0", "libsoup-3.0-0"),
    ("libsecret-1.so.0", "libsecret-1-0"),
    ("libgio-2.0.so.0", "libglib2.0-0"),
    ("libX11.so.6", "libx11-6"),
    ("libcurl.so.4", "libcurl4"),
    ("libdbus-1.so.3", "libdbus-1-3"),
    ("libfido2.so.1", "libfido2-1"),
    ("libp11-kit.so.0", "libp11-kit0"),
    ("libcrypto.so.3", "libssl3"),
    ("libuuid.so.1", "libuuid1"),
];

/// Looks the libraries up without loading them.
pub fn check(environment: &Environment) -> [Check; 1] {
    if std::env::consts::ARCH != "x86_64" {
        return [Check::ok(
            NAME,
            "Microsoft's runtime exists for x86-64 only; Keyward's own clients need none of it",
        )];
    }
    let loader = Loader::of_machine(environment.variable("LD_LIBRARY_PATH"));
    [found(|name| loader.finds(name))]
}

fn found(finds: impl Fn(&str) -> bool) -> Check {
    let missing: Vec<_> = NEEDED.iter().filter(|(name, _)| !finds(name)).collect();
    if missing.is_empty() {
        return Check::ok(NAME, "everything Microsoft's runtime links against is here");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Check::warn(
        NAME,
        format!(
            "Microsoft's runtime cannot load without {}; unmodified Microsoft clients then go on \
             without a broker",
            names.join(", ")
        ),
        format!("sudo apt install {}", packages.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::State;

    #[test]
    fn missing_libraries_are_named_with_their_packages() {
        let check = found(|name| !name.starts_with("libg") && name != "libsecret-1.so.0");
        assert_eq!(check.state, State::Warn);
        assert!(check.message.contains("libsecret-1.so.0"));
        assert_eq!(
            check.mend.as_deref(),
            Some("sudo apt install libgtk-3-0 libsecret-1-0 libglib2.0-0")
        );
    }

    #[test]
    fn nothing_missing_is_fine() {
        assert_eq!(found(|_| true).state, State::Ok);
    }
}
