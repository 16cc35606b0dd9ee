//! What is in the memory of the processes that hold something.

use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use keyward_testkit::process::{Signal, listener};
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{Attempt, Bag, Target};

/// How much of each region is taken.
const MOST: usize = 64 * 1024 * 1024;

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (name, process) in processes(target) {
        attempts.extend(of(&name, process));
    }
    attempts
}

/// keywardd, as the socket tells, and every keyward-session.
fn processes(target: &Target) -> Vec<(String, u32)> {
    let keywardd = listener(&target.socket).map(|pid| ("keywardd".to_owned(), pid));
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let sessions = numbers.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        // A process of this user's, of this login.
        let own = name.trim() == "keyward-session" && is_of_this_login(pid);
        own.then(|| ("keyward-session".to_owned(), pid))
    });
    keywardd.into_iter().chain(sessions).collect()
}

/// Whether the process was started from the programs of this login: its command line says.
fn is_of_this_login(process: u32) -> bool {
    let own = std::env::var("KEYWARD_THIEF_PROGRAMS").unwrap_or_default();
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    !own.is_empty() && String::from_utf8_lossy(&line).starts_with(&own)
}

fn of(name: &str, process: u32) -> Vec<Attempt> {
    let folder = format!("/proc/{process}");
    let in_folder = |file: &str| Path::new(&folder).join(file);
    let mut attempts: Vec<_> = ["environ", "auxv", "stack", "syscall", "pagemap"]
        .into_iter()
        .map(|file| {
            Attempt::of(
                "memory",
                format!("read /proc/PID/{file} of {name}"),
                |bag| {
                    let mut bytes = Vec::new();
                    File::open(in_folder(file))?
                        .take(1 << 20)
                        .read_to_end(&mut bytes)?;
                    bag.keep(bytes);
                    Ok("read".to_owned())
                },
            )
        })
        .collect();
    attempts.push(Attempt::of(
        "memory",
        format!("read /proc/PID/maps and /proc/PID/mem of {name}"),
        |bag| read_memory(process, bag),
    ));
    attempts.push(Attempt::of(
        "memory",
        format!("open what {name} has open, in /proc/PID/fd"),
        |bag| {
            let mut count = 0;
            for entry in fs::read_dir(in_folder("fd"))? {
                let path = entry?.path();
                if fs::metadata(&path).is_ok_and(|file| file.is_file()) {
                    bag.keep(fs::read(&path)?);
                    count += 1;
                }
            }
            Ok(format!("{count} files read"))
        },
    ));
    attempts.push(Attempt::of(
        "memory",
        format!("attach to {name} with ptrace"),
        |bag| {
            let pid = pid(process);
            ptrace::attach(pid)?;
            let read = read_memory(process, bag);
            let _ = ptrace::detach(pid, None);
            read
        },
    ));
    attempts.push(Attempt::of(
        "memory",
        format!("read {name} with process_vm_readv"),
        |bag| {
            let mut bytes = vec![0; 4096];
            // Who may not read is told so before the address matters.
            let base = std::ptr::from_ref(&MOST).addr();
            let from = [RemoteIoVec { base, len: 4096 }];
            let read = process_vm_readv(pid(process), &mut [IoSliceMut::new(&mut bytes)], &from)?;
            bag.keep(&bytes[..read]);
            Ok(format!("{read} bytes read"))
        },
    ));
    attempts
}

fn read_memory(process: u32, bag: &mut Bag) -> io::Result<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut total = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().unwrap_or_default();
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let parsed = u64::from_str_radix(start, 16)
            .ok()
            .zip(u64::from_str_radix(end, 16).ok());
        let Some((start, end)) = parsed else { continue };
        let length = usize::try_from(end - start).map_or(MOST, |length| length.min(MOST));
        let mut bytes = vec![0; length];
        if let Ok(read) = memory.read_at(&mut bytes, start) {
            bytes.truncate(read);
            total += read;
            bag.keep(bytes);
        }
    }
    Ok(format!("{total} bytes read"))
}

/// Lets the broker crash and looks for what is left of it. It may be gone after this.
pub(super) fn crash(target: &Target) -> Vec<Attempt> {
    vec![Attempt::of(
        "memory",
        "let keywardd crash and look for its core",
        |bag| {
            let process = listener(&target.socket)
                .ok_or_else(|| io::Error::other("keywardd does not run"))?;
            let folder = fs::read_link(format!("/proc/{process}/cwd"));
            nix::sys::signal::kill(pid(process), nix::sys::signal::Signal::SIGABRT)?;
            let gone = || (!keyward_testkit::process::runs(process)).then_some(());
            keyward_testkit::wait::within(crate::SOON, gone)
                .ok_or_else(|| io::Error::other("it goes on"))?;
            let mut cores = 0;
            let folders = [
                folder.unwrap_or_default(),
                target.state.clone(),
                target.den.clone(),
            ];
            for entry in folders
                .iter()
                .filter_map(|folder| fs::read_dir(folder).ok())
                .flatten()
            {
                let path = entry?.path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if name.starts_with("core") {
                    cores += 1;
                    bag.keep(fs::read(path)?);
                }
            }
            Ok(format!(
                "it ended by signal {:?} and left {cores} cores",
                Signal::ABORT
            ))
        },
    )]
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(i32::try_from(process).unwrap_or(i32::MAX))
}
