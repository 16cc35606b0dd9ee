//! A process of the test: its output is kept in files, and it is ended by its own id.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Pid;
pub use rustix::process::Signal;

use crate::wait;

/// How long a process may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running process. Dropping it asks it to end, and kills it when it does not.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    files: Files,
}

/// Where the output of a process goes.
#[derive(Debug)]
struct Files {
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Files {
    fn of(name: &str, logs: &Path) -> Self {
        Self {
            stdout: logs.join(format!("{name}.out")),
            stderr: logs.join(format!("{name}.err")),
        }
    }
}

impl Process {
    /// Starts a command under a name; its output goes to `logs/NAME.out` and `logs/NAME.err`,
    /// after what earlier processes of that name wrote.
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> Self {
        let files = Files::of(name, logs);
        let command = command.stdin(Stdio::null()).stdout(append(&files.stdout));
        Self::spawn(name, command, files)
    }

    /// The same, and writes `input` to its standard input, which is then closed.
    pub fn start_with_input(name: &str, command: &mut Command, logs: &Path, input: &[u8]) -> Self {
        let files = Files::of(name, logs);
        let command = command.stdin(Stdio::piped()).stdout(append(&files.stdout));
        let mut process = Self::spawn(name, command, files);
        if let Some(mut pipe) = process.child.stdin.take() {
            pipe.write_all(input).expect("a process reads its input");
        }
        process
    }

    /// The same with pipes for standard input and output, which
    /// [`take_pipes`](Self::take_pipes) hands out.
    pub(crate) fn start_in_dialogue(name: &str, command: &mut Command, logs: &Path) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::spawn(name, command, Files::of(name, logs))
    }

    pub(crate) fn take_pipes(&mut self) -> (ChildStdin, ChildStdout) {
        let (input, output) = (self.child.stdin.take(), self.child.stdout.take());
        input.zip(output).expect("it was started in dialogue")
    }

    fn spawn(name: &str, command: &mut Command, files: Files) -> Self {
        let child = command.stderr(append(&files.stderr)).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}: {command:?}"));
        Self {
            name: name.to_owned(),
            child,
            files,
        }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.files.stdout)
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.files.stderr)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for a whole line of standard output that satisfies `wanted`.
    pub fn line(&mut self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let found = wait::within(deadline, || {
            let text = self.stdout();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let line = whole.lines().find(|line| wanted(line)).map(str::to_owned);
            assert!(
                line.is_some() || self.is_running(),
                "{} ended before it wrote what was waited for\n{}",
                self.name,
                self.output()
            );
            line
        });
        found.unwrap_or_else(|| {
            panic!(
                "{} did not write what was waited for in {deadline:?}\n{}",
                self.name,
                self.output()
            )
        })
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = wait::within(deadline, || self.child.try_wait().ok().flatten());
        ended.unwrap_or_else(|| {
            panic!(
                "{} still runs after {deadline:?}\n{}",
                self.name,
                self.output()
            )
        })
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has; kills it when it does not.
    pub fn stop(&mut self) {
        if self.is_running() {
            signal(self.id(), Signal::TERM);
            if wait::within(PATIENCE, || (!self.is_running()).then_some(())).is_none() {
                self.kill();
            }
        }
        let _ = self.child.wait();
    }

    /// Both outputs, to show when something is wrong.
    pub fn output(&self) -> String {
        let name = &self.name;
        let (out, err) = (self.stdout(), self.stderr());
        format!("── {name}, standard output\n{out}\n── {name}, standard error\n{err}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to one process of the test.
pub fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may be gone already, which is what was wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to the process group that one process of the test leads, as a terminal does.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Whether a process with this id runs (a zombie does not).
pub fn runs(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = status.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

/// The process that listens on a Unix socket, if one does.
pub fn listener(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

fn append(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let logs = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let process = Process::start("shell", command.args(["-c", script]), logs.path());
        (logs, process)
    }

    #[test]
    fn a_line_is_returned_only_when_it_is_whole() {
        let (_logs, mut process) =
            shell("printf 'ready at 1'; printf '7\\n'; exec tail -f /dev/null");
        let line = process.line(Duration::from_secs(10), |line| line.starts_with("ready"));
        assert_eq!(line, "ready at 17");
    }

    #[test]
    #[should_panic(expected = "ended before it wrote")]
    fn a_process_that_ended_is_not_waited_for() {
        let (_logs, mut process) = shell("echo something else");
        process.line(Duration::from_secs(10), |line| line == "ready");
    }

    #[test]
    fn dropping_it_ends_it() {
        let (_logs, process) = shell("exec tail -f /dev/null");
        let id = process.id();
        assert!(runs(id));
        drop(process);
        assert!(!runs(id));
    }

    #[test]
    fn a_process_that_will_not_end_is_killed_at_once_by_a_crash() {
        let (_logs, mut process) = shell("trap '' TERM; echo up; while :; do :; done");
        process.line(Duration::from_secs(10), |line| line == "up");
        process.kill();
        assert!(!process.is_running());
    }

    #[test]
    fn the_exit_status_and_both_outputs_are_kept() {
        let (_logs, mut process) = shell("echo out; echo err >&2; exit 3");
        assert_eq!(process.wait(Duration::from_secs(10)).code(), Some(3));
        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("out\n", "err\n")
        );
    }

    #[test]
    fn who_listens_on_a_socket_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        assert_eq!(listener(&socket), None);
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(listener(&socket), Some(std::process::id()));
    }

    #[test]
    fn input_is_written_and_closed() {
        let logs = tempfile::tempdir().unwrap();
        let mut process =
            Process::start_with_input("cat", &mut Command::new("cat"), logs.path(), b"hi\n");
        assert!(process.wait(Duration::from_secs(10)).success());
        assert_eq!(process.stdout(), "hi\n");
    }
}
