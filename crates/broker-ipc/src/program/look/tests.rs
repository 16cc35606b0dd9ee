use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

/// A program that says when it runs, and runs until it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "it says when it runs");
        Self(child)
    }

    /// A copy of the shell at this path.
    fn copied_to(path: &Path) -> Self {
        fs::copy("/bin/sh", path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        Self::start(Command::new(path).args(["-c", WAIT]))
    }

    fn look(&self) -> Program {
        look(&Pinned::process(self.0.id(), uid()), &Links::here())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Says that it runs, and waits for the end of its input.
const WAIT: &str = "echo ready; read nothing";

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn path_of(program: &Program) -> &str {
    &program.executable.as_ref().unwrap().path
}

#[test]
fn a_program_has_a_path_a_name_and_a_parent() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().canonicalize().unwrap().join("some-tool");
    let running = Running::copied_to(&tool);
    let program = running.look();
    assert_eq!(path_of(&program), tool.to_str().unwrap());
    assert_eq!(program.name.as_deref(), Some("some-tool"));
    let parent = program.parent.as_ref().unwrap();
    let ours = std::env::current_exe().unwrap();
    assert_eq!(parent.path.as_deref(), ours.to_str());
    assert_eq!(program.sandbox, None);
    assert_eq!(program.unknown, None);
}

#[test]
fn another_file_put_at_the_path_of_a_program_is_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool");
    let first = Running::copied_to(&tool);
    let (before, again) = (first.look(), first.look());
    assert_eq!(before.id(), again.id());
    fs::remove_file(&tool).unwrap();
    let second = Running::copied_to(&tool);
    let after = second.look();
    assert_eq!(path_of(&before), path_of(&after));
    assert_ne!(before.id(), after.id());
    // Who has been running all the time is who it was.
    let gone = first.look();
    assert_eq!(path_of(&gone), path_of(&before));
    assert_eq!(gone.name, before.name);
}

#[test]
fn a_program_only_root_can_replace_is_known_by_its_path() {
    let shell = PathBuf::from("/bin/sh").canonicalize().unwrap();
    let running = Running::start(Command::new(&shell).args(["-c", WAIT]));
    assert_eq!(running.look().id(), shell.to_str().unwrap());
}

#[test]
fn a_program_that_ended_is_unknown_and_counts_as_confined() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::copied_to(&folder.path().join("tool"));
    let pinned = Pinned::process(running.0.id(), uid());
    assert!(look(&pinned, &Links::here()).is_known());
    drop(running);
    let program = look(&pinned, &Links::here());
    assert_eq!(program.id(), "unseen");
    // Else a sandboxed program had only to leave its connection to a child.
    assert_eq!(program.sandbox, Some(Sandbox::Unseen));
    let why = program.unknown.as_deref();
    assert!(why.is_some_and(|why| why.contains("ended")), "{why:?}");
}

#[test]
fn a_process_number_of_another_user_is_nobody_s_identity() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::copied_to(&folder.path().join("tool"));
    let process = Pinned::process(running.0.id(), uid() + 1);
    if uid() == 0 {
        // Root's own processes cannot be told from those that let nobody look.
        return assert!(look(&process, &Links::here()).is_known());
    }
    assert_eq!(look(&process, &Links::here()).id(), "unseen");
}

#[test]
fn why_the_kernel_does_not_say_is_told() {
    let ours = Pinned::process(std::process::id(), uid());
    let theirs = Pinned::process(std::process::id(), uid() + 1);
    assert!(why_not(Errno::ACCESS, &ours).contains("no other program"));
    assert!(why_not(Errno::ACCESS, &theirs).contains("another user"));
    assert!(why_not(Errno::NOENT, &ours).contains("ended"));
}

/// Runs the shell in file systems of its own, with this text as its `/.flatpak-info`.
fn in_a_sandbox(folder: &Path, info: Option<&str>) -> Running {
    let root = folder.join("root");
    fs::create_dir(&root).unwrap();
    let info = info.map_or(String::new(), |info| {
        fs::write(folder.join("info"), info).unwrap();
        "cp info root/.flatpak-info && ".to_owned()
    });
    let script = format!(
        "mount -t tmpfs none root && mkdir root/usr && mount --rbind /usr root/usr && \
         ln -s usr/bin usr/lib usr/lib64 root/ && {info}\
         mkdir root/own && cp /bin/sh root/own/app && exec chroot root /own/app -c '{WAIT}'"
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script]);
    Running::start(unshare.current_dir(folder))
}

#[test]
fn a_flatpak_is_known_by_its_application_id() {
    let folder = tempfile::tempdir().unwrap();
    let info = "[Application]\nname=org.example.Mail\n";
    let program = in_a_sandbox(folder.path(), Some(info)).look();
    assert_eq!(program.id(), "flatpak:org.example.Mail");
}

#[test]
fn a_path_in_file_systems_of_its_own_is_no_executable_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let program = in_a_sandbox(folder.path(), None).look();
    assert_eq!(program.executable, None);
    assert_eq!(program.sandbox, Some(Sandbox::Container));
    let why = program.unknown.as_deref();
    assert_eq!(why, Some("it runs in file systems of its own"));
}
