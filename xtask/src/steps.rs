//! Running the steps of a task, with a heading and the time each took.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a task stopped: what happened and what to do, ready to print.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a task or a step ends with.
pub type Outcome = Result<(), Failure>;

/// Announces steps, counts them and times them.
pub struct Steps {
    started: Instant,
    number: usize,
    of: usize,
}

impl Steps {
    /// Starts the clock for this many steps.
    pub fn new(of: usize) -> Self {
        Self {
            started: Instant::now(),
            number: 0,
            of,
        }
    }

    /// Runs one step between its heading and the time it took.
    pub fn step(&mut self, title: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        self.heading(title);
        let step = Instant::now();
        work()?;
        println!("   done in {}", clock(step.elapsed()));
        Ok(())
    }

    /// Runs the last step and says nothing after it, so that its own last line ends the output.
    pub fn last(&mut self, title: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        self.heading(title);
        work()
    }

    fn heading(&mut self, title: &str) {
        self.number += 1;
        let (number, of, since) = (self.number, self.of, clock(self.started.elapsed()));
        println!("── {number}/{of} {title} (at {since})");
    }
}

/// Minutes and seconds, `03:07`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// A cargo command of the toolchain that runs this task.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command without stdin; its output goes where ours goes.
pub fn must(command: &mut Command) -> Outcome {
    let shown = show(command);
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{shown}` ended with {status}"))),
        Err(error) => Err(Failure::new(format!("cannot run `{shown}`: {error}"))),
    }
}

/// Runs a command and returns what it wrote to stdout; `None` when it is missing or failed.
pub fn output(command: &mut Command) -> Option<String> {
    let answer = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let answer = answer.ok().filter(|answer| answer.status.success())?;
    String::from_utf8(answer.stdout).ok()
}

/// The command as a person would type it.
pub fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The folder of the workspace: the one this task was asked for in. What was compiled in may be
/// another clone's that shares the target folder.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = here.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    here.parent().map_or(here.clone(), Path::to_owned)
}

/// Whether a program of this name is in `PATH`.
pub fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_named_with_its_status() {
        let failure = must(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "`sh -c exit 3` ended with exit status: 3"
        );
    }

    #[test]
    fn a_step_that_fails_stops_the_task() {
        let mut steps = Steps::new(2);
        assert!(steps.step("one", || Ok(())).is_ok());
        let failed = steps.step("two", || Err(Failure::new("because")));
        assert_eq!(failed.unwrap_err().to_string(), "because");
    }

    #[test]
    fn time_is_shown_in_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_secs(187)), "03:07");
    }

    #[test]
    fn programs_are_looked_up_in_path() {
        assert!(in_path("sh"));
        assert!(!in_path("no-such-program-anywhere"));
    }
}
