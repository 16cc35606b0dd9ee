//! The browser of a login: does what the test decided, and counts how often it was opened.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use keyward_testkit::Login;

use crate::programs;

/// What the person in front of the browser does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Signs in and consents.
    Accept,
    /// Signs in and declines.
    Decline,
    /// Leaves at the first page.
    Cancel,
    /// Never comes back.
    WalkAway,
}

impl Choice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
            Self::WalkAway => "walk-away",
        }
    }
}

/// A program that stands in for the browser. It fills in the authority's real pages.
#[derive(Debug)]
pub struct Browser {
    folder: PathBuf,
}

impl Browser {
    /// Puts the program into the login, also as `xdg-open`, so that whoever opens a browser past
    /// the configuration is counted, too. `alice` signs in until told otherwise.
    pub fn install(login: &Login) -> Self {
        let folder = login.path("browser");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let browser = Self { folder };
        let script = SCRIPT
            .replace("HERE", &browser.folder.display().to_string())
            .replace(
                "SIGN_IN",
                &login.path("bin/keyward-dev").display().to_string(),
            )
            .replace("NODE", &programs::node_folder().display().to_string());
        fs::write(browser.program(), script).expect("a program can be written");
        let executable = fs::Permissions::from_mode(0o700);
        fs::set_permissions(browser.program(), executable).expect("it can be made executable");
        let gate = Command::new("mkfifo")
            .arg(browser.folder.join("gate"))
            .status();
        assert!(gate.expect("mkfifo can be run").success());
        symlink(browser.program(), login.path("bin/xdg-open")).expect("a link can be made");
        browser.signs_in(crate::ALICE);
        browser
    }

    /// The program; its argument is the URL.
    pub fn program(&self) -> PathBuf {
        self.folder.join("open")
    }

    /// From now on this user signs in and consents.
    pub fn signs_in(&self, user: &str) {
        self.write("user", user);
        self.does(Choice::Accept);
    }

    /// From now on this user signs in, whoever the page suggests.
    pub fn insists_on(&self, user: &str) {
        self.write("user", user);
        self.write("choice", "insist");
    }

    /// From now on the person does this.
    pub fn does(&self, choice: Choice) {
        self.write("choice", choice.as_str());
    }

    /// The pages are those of npm's oidc-provider from now on.
    pub fn uses_provider_pages(&self) {
        self.write("choice", "provider");
    }

    /// From now on the person signs in and consents only once that is [released](Held::release).
    pub fn holds(&self) -> Held<'_> {
        self.write("choice", "hold");
        Held(self)
    }

    /// How often it was opened.
    pub fn opened(&self) -> usize {
        let log = fs::read_to_string(self.folder.join("opened")).unwrap_or_default();
        log.lines().count()
    }

    /// The pages that ask the person a question, in the order they were opened. Nobody answers them
    /// here.
    pub fn questions(&self) -> Vec<String> {
        let pages = fs::read_to_string(self.folder.join("questions")).unwrap_or_default();
        // The last line may be half written.
        let lines = pages
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    fn write(&self, file: &str, text: &str) {
        // Whole or not at all: the program may be reading it.
        let new = self.folder.join("new");
        fs::write(&new, text).expect("a file can be written");
        fs::rename(new, self.folder.join(file)).expect("a file can be renamed");
    }
}

/// A person who waits in front of the browser. Dropped, nobody waits any more.
#[must_use]
pub struct Held<'a>(&'a Browser);

impl Held<'_> {
    /// Lets the person who waits go on, and whoever comes after them.
    pub fn release(self) {
        self.0.does(Choice::Accept);
        // Opening a pipe waits for its other end.
        fs::write(self.gate(), "go\n").expect("somebody waits at the gate");
    }

    fn gate(&self) -> PathBuf {
        self.0.folder.join("gate")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.does(Choice::Accept);
        // For reading as well, so that it does not wait when nobody does.
        let gate = fs::File::options().read(true).write(true).open(self.gate());
        let _ = gate.and_then(|mut gate| gate.write_all(b"go\n"));
    }
}

const SCRIPT: &str = r#"#!/bin/sh
# Every sign-in has a query; a page that asks has none.
case $1 in
*\?*) ;;
*) printf '%s\n' "$1" >> 'HERE/questions'; exit 0 ;;
esac
user=$(cat 'HERE/user')
choice=$(cat 'HERE/choice')
echo opened >> 'HERE/opened'
case $choice in
walk-away) exit 0 ;;
hold)
    read -r choice < 'HERE/gate'
    exec 'SIGN_IN' sign-in --user "$user" "$1"
    ;;
provider) exec node 'NODE/provider-browser.mjs' "${user%@*}" "$1" ;;
insist)
    url=$(printf '%s' "$1" | sed 's/login_hint=[^&]*//')
    exec 'SIGN_IN' sign-in --user "$user" "$url"
    ;;
*) exec 'SIGN_IN' sign-in --user "$user" --choice "$choice" "$1" ;;
esac
"#;
