//! Starting the browser. Never through a shell, and the URL never reaches a log.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::future::pending;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;
use url::Url;

use keyward_oauth::transport::UserAgentError;

/// How the browser is started.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Tried in this order until one starts and does not report failure.
    commands: Vec<CommandLine>,
    /// What a person can do when none works.
    hint: &'static str,
    /// Where none works, a person who opens the address themselves.
    person: Option<Person>,
}

/// Tells a person why no browser was started, and the address to open.
#[derive(Clone)]
struct Person(Arc<Tell>);

type Tell = dyn Fn(&str, &Url) + Send + Sync;

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person")
    }
}

/// A program with its arguments; the placeholder is replaced by the URL.
#[derive(Clone, Debug)]
struct CommandLine {
    words: Vec<String>,
    placeholder: &'static str,
    complaints: Complaints,
}

/// Where a command's standard error goes.
#[derive(Clone, Copy, Debug)]
enum Complaints {
    /// To ours: somebody configured the command and wants to know.
    Shown,
    /// Nowhere: browsers say a lot that helps nobody.
    Dropped,
}

/// A browser command that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the browser command is empty: name a program, and {{url}} where the address goes")]
pub struct InvalidCommand;

const NOTHING_TO_START: &str = "there is neither $BROWSER nor a display (DISPLAY, WAYLAND_DISPLAY)";
const SET_BROWSER: &str = "set $BROWSER, or user_agent.command in the configuration";
const SEE_OUTPUT: &str =
    "its own output says why; user_agent.command in the configuration names it";

impl Launcher {
    /// A command with `{url}` where the address goes; without the placeholder the address becomes
    /// the last argument.
    ///
    /// # Errors
    ///
    /// When it names no program.
    pub fn command(words: Vec<String>) -> Result<Self, InvalidCommand> {
        if words.first().is_none_or(String::is_empty) {
            return Err(InvalidCommand);
        }
        Ok(Self {
            commands: vec![CommandLine {
                words,
                placeholder: "{url}",
                complaints: Complaints::Shown,
            }],
            hint: SEE_OUTPUT,
            person: None,
        })
    }

    /// Where no browser can be started, `tell` a person why, and the address: they open it
    /// themselves.
    #[must_use]
    pub fn or_tell(mut self, tell: impl Fn(&str, &Url) + Send + Sync + 'static) -> Self {
        self.person = Some(Person(Arc::new(tell)));
        self
    }

    /// `$BROWSER` (a list separated by colons, `%s` where the address goes), else `xdg-open` if
    /// there is a display.
    pub fn from_environment() -> Self {
        let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let display = set("DISPLAY").is_some() || set("WAYLAND_DISPLAY").is_some();
        let browser = set("BROWSER").and_then(|list| list.into_string().ok());
        Self::of(browser.as_deref(), display)
    }

    fn of(browser: Option<&str>, display: bool) -> Self {
        let line = |text: &str| CommandLine {
            words: text.split_ascii_whitespace().map(str::to_owned).collect(),
            placeholder: "%s",
            complaints: Complaints::Dropped,
        };
        let mut commands: Vec<CommandLine> =
            browser.unwrap_or_default().split(':').map(line).collect();
        commands.retain(|command| !command.words.is_empty());
        if commands.is_empty() && display {
            commands.push(line("xdg-open"));
        }
        Self {
            commands,
            hint: SET_BROWSER,
            person: None,
        }
    }

    /// Whether there is anything to start.
    pub(crate) fn check(&self) -> Result<(), UserAgentError> {
        if self.commands.is_empty() && self.person.is_none() {
            return Err(UserAgentError::Unavailable(format!(
                "{NOTHING_TO_START}; {}",
                self.hint
            )));
        }
        Ok(())
    }

    /// Starts the browser. Ends only when nothing could show the address: a launcher that leaves
    /// with success has handed it to a browser.
    pub(crate) async fn open(&self, url: Url) -> UserAgentError {
        let mut reasons = Vec::new();
        for command in &self.commands {
            match command.run(&url).await {
                Ok(()) => return pending().await,
                Err(reason) => reasons.push(reason),
            }
        }
        if let Some(Person(tell)) = &self.person {
            if reasons.is_empty() {
                reasons.push(NOTHING_TO_START.to_owned());
            }
            tell(&reasons.join(", "), &url);
            return pending().await;
        }
        UserAgentError::Unavailable(format!("{}; {}", reasons.join(", "), self.hint))
    }
}

impl CommandLine {
    /// Runs the command to its end, which for a browser may be long after the redirect. Dropping
    /// the future leaves the browser alone: it may have other windows open.
    async fn run(&self, url: &Url) -> Result<(), String> {
        // INVARIANT: both constructors drop command lines without a first word.
        let (program, arguments) = (&self.words[0], &self.words[1..]);
        let mut command = Command::new(program);
        let mut placed = false;
        for argument in arguments {
            placed |= argument.contains(self.placeholder);
            command.arg(argument.replace(self.placeholder, url.as_str()));
        }
        if !placed {
            command.arg(url.as_str());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(match self.complaints {
                Complaints::Shown => Stdio::inherit(),
                Complaints::Dropped => Stdio::null(),
            });
        // What the bus or a supervisor told the process that starts it concerns no browser.
        for told in [
            "DBUS_STARTER_ADDRESS",
            "DBUS_STARTER_BUS_TYPE",
            "NOTIFY_SOCKET",
        ] {
            command.env_remove(told);
        }
        // A group of its own: Ctrl-C in the terminal ends the sign-in, not the browser.
        command.process_group(0);
        tracing::debug!(program, "starting the browser");
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} cannot be started ({error})"))?;
        match child.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{program} ended with {status}")),
            Err(error) => Err(format!("{program} cannot be waited for ({error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn url() -> Url {
        Url::parse("https://as.example/authorize?state=1&x='$(id)'").unwrap()
    }

    /// A program that writes its arguments to a file and succeeds or fails.
    fn program(folder: &Path, name: &str, status: u8) -> String {
        let (path, out) = (folder.join(name), folder.join(format!("{name}.out")));
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}.part && mv {0}.part {0}\nexit {status}\n",
            out.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[tokio::test]
    async fn the_address_goes_where_the_placeholder_is_and_through_no_shell() {
        let folder = tempfile::tempdir().unwrap();
        let browser = program(folder.path(), "browser", 3);
        let words = vec![browser, "--at={url}".to_owned(), "last".to_owned()];
        let error = Launcher::command(words).unwrap().open(url()).await;
        let arguments = fs::read_to_string(folder.path().join("browser.out")).unwrap();
        assert_eq!(arguments, format!("--at={}\nlast\n", url()));
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn the_next_browser_of_the_list_is_tried_when_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (
            program(folder.path(), "a", 1),
            program(folder.path(), "b", 1),
        );
        let list = format!("{first} %s:/nonexistent/browser:{second}");
        let error = Launcher::of(Some(&list), false)
            .open(url())
            .await
            .to_string();
        assert!(folder.path().join("b.out").exists());
        assert!(
            error.contains("/nonexistent/browser cannot be started"),
            "{error}"
        );
        assert!(
            !error.contains("state"),
            "the address must not be in an error"
        );
    }

    #[tokio::test]
    async fn a_person_is_told_the_address_only_where_no_browser_starts() {
        let folder = tempfile::tempdir().unwrap();
        let (works, fails) = (
            program(folder.path(), "a", 0),
            program(folder.path(), "b", 1),
        );
        for (browser, told) in [
            (None, Some("neither $BROWSER nor a display")),
            (Some(fails), Some("b ended with exit status: 1")),
            (Some(works), None),
        ] {
            let (teller, mut heard) = tokio::sync::mpsc::unbounded_channel();
            let launcher = Launcher::of(browser.as_deref(), false).or_tell(move |why, address| {
                teller.send((why.to_owned(), address.clone())).unwrap();
            });
            launcher.check().unwrap();
            let done = folder.path().join("a.out");
            let shown = async {
                while !done.exists() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                error = launcher.open(url()) => panic!("{error}"),
                Some((why, address)) = heard.recv() => {
                    assert!(why.contains(told.expect("a browser works")), "{why}");
                    assert_eq!(address, url());
                }
                () = shown => assert_eq!(told, None),
            }
        }
    }

    #[test]
    fn without_browser_and_display_nothing_is_started() {
        assert!(Launcher::of(None, false).check().is_err());
        assert!(Launcher::of(None, true).check().is_ok());
        assert!(Launcher::command(vec![]).is_err());
    }
}
