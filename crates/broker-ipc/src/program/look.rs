//! Looking at a process: what it runs, what it is confined to, who started it.
//!
//! Everything is read under the number of a process that is pinned, and counts only if the process
//! still lives afterwards: then the number was its own all the time. A process may execute another
//! program at any time; this is about the one it runs now.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::geteuid;

use super::files::{Folder, file_at, identity, same_file};
use super::process::{
    flatpak_id, flatpak_of_cgroup, is_in_nested_pid_namespace, parent_of, snap_of_cgroup,
    snap_of_label,
};
use super::{Executable, Facts, Links, Parent, Pinned, Program, Sandbox};

/// The longest name for a process that is shown; the kernel keeps 15 bytes.
const LONGEST_NAME: usize = 64;
/// What the kernel appends to the path of a file that is gone.
const DELETED: &str = " (deleted)";

/// The program of a process. Whatever cannot be found out is not known.
pub(super) fn look(pinned: &Pinned, links: &Links) -> Program {
    let facts = facts(pinned, links);
    if pinned.is_alive() {
        return Program::of(facts);
    }
    Program::not_seen("it ended before anybody could look")
}

fn facts(pinned: &Pinned, links: &Links) -> Facts {
    let process = match Folder::of_process(pinned.pid, links) {
        Ok(process) => process,
        // Where process numbers are hidden (hidepid), that says nothing about the program.
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            return Program::unknown_because(why_not(errno, pinned)).facts;
        }
        Err(errno) => return Program::not_seen(why_not(errno, pinned)).facts,
    };
    // The owner is root for a process that lets nobody look.
    if !process
        .owner()
        .is_ok_and(|owner| owner == pinned.uid || owner == 0)
    {
        return Program::not_seen("its process number is another user's by now").facts;
    }
    let (executable, unknown) = match executable(&process) {
        Ok(executable) => (Some(executable), None),
        Err(Unknown::Kernel(errno)) => (None, Some(why_not(errno, pinned))),
        Err(Unknown::Elsewhere) => (None, Some("it runs in file systems of its own".to_owned())),
        Err(Unknown::Unreadable) => (None, Some("the path of its file is no text".to_owned())),
    };
    Facts {
        name: name(&process),
        sandbox: sandbox(&process, executable.is_some()),
        executable,
        parent: parent(&process),
        unknown,
    }
}

enum Unknown {
    /// The kernel does not say.
    Kernel(Errno),
    /// The path means another file there than here.
    Elsewhere,
    Unreadable,
}

/// The executable, if its path means the same file to us: a process with file systems of its own
/// could put anything at any path.
fn executable(process: &Folder) -> Result<Executable, Unknown> {
    let path = process.link("exe").map_err(Unknown::Kernel)?;
    let file = process.stat("exe").map_err(Unknown::Kernel)?;
    let path = String::from_utf8(path).map_err(|_| Unknown::Unreadable)?;
    let gone = file.st_nlink == 0;
    let path = match path.strip_suffix(DELETED) {
        Some(path) if gone => path,
        _ => &path,
    };
    let same = file_at(Path::new(path)).is_ok_and(|ours| same_file(&ours, &file));
    if !path.starts_with('/') || !(same || has_our_file_systems(process)) {
        return Err(Unknown::Elsewhere);
    }
    Ok(Executable {
        path: path.to_owned(),
        file: identity(&file, Path::new(path)),
    })
}

/// Whether a process sees the same file systems as we do. For the executable of a program that was
/// updated or removed while it runs.
fn has_our_file_systems(process: &Folder) -> bool {
    let ours = process.of_other(std::process::id());
    let ours = ours.and_then(|ours| ours.link("ns/mnt")).ok();
    ours.is_some() && ours == process.link("ns/mnt").ok()
}

fn sandbox(process: &Folder, executable_known: bool) -> Option<Sandbox> {
    let root = process.folder("root").ok();
    let info = root.and_then(|root| root.text(".flatpak-info"));
    if let Some(info) = info {
        // Who has the file and no sound id in it is no application we could name.
        return Some(
            flatpak_id(&info).map_or(Sandbox::Container, |id| Sandbox::Flatpak(id.to_owned())),
        );
    }
    let cgroup = process.text("cgroup");
    let cgroup = cgroup.as_deref();
    // There is one, which only must not be read from here (Landlock): its unit has its name, too.
    if process.stat("root/.flatpak-info").is_ok() {
        let id = cgroup.and_then(flatpak_of_cgroup);
        return Some(id.map_or(Sandbox::Container, Sandbox::Flatpak));
    }
    let label = ["attr/apparmor/current", "attr/current"]
        .iter()
        .find_map(|file| process.text(file));
    let by_label = label.as_deref().and_then(snap_of_label);
    let by_cgroup = cgroup.and_then(snap_of_cgroup);
    if let Some(name) = by_label.or(by_cgroup) {
        return Some(Sandbox::Snap(name.to_owned()));
    }
    let nested = process
        .text("status")
        .is_some_and(|status| is_in_nested_pid_namespace(&status));
    // Whose executable can be seen, but at no path of ours, has file systems of its own.
    let elsewhere = !executable_known && process.link("exe").is_ok();
    (nested || elsewhere).then_some(Sandbox::Container)
}

fn parent(process: &Folder) -> Option<Parent> {
    let parent = parent_of(&process.text("stat")?)?;
    let parent = process.of_other(parent).ok()?;
    let path = parent.link("exe").ok();
    Some(Parent {
        name: name(&parent)?,
        path: path.map(|path| String::from_utf8_lossy(&path).into_owned()),
    })
}

fn name(process: &Folder) -> Option<String> {
    let name = process.text("comm")?;
    let name: String = name
        .trim_end_matches('\n')
        .chars()
        .take(LONGEST_NAME)
        .collect();
    Some(name).filter(|name| !name.is_empty())
}

fn why_not(errno: Errno, pinned: &Pinned) -> String {
    match errno {
        Errno::ACCESS | Errno::PERM if pinned.uid != geteuid().as_raw() => {
            "it runs as another user than the broker, which may not look at it".to_owned()
        }
        Errno::ACCESS | Errno::PERM => "it lets no other program look at it".to_owned(),
        Errno::NOENT | Errno::SRCH => "it has ended".to_owned(),
        errno => format!("the kernel does not say: {errno}"),
    }
}

#[cfg(test)]
mod tests;
