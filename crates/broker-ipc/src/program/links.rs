//! Reading the links of other processes in `/proc`, which Landlock takes for looking into them.
//!
//! What a caller runs stands behind such a link (`/proc/PID/exe`). A process that restricts itself
//! with Landlock keeps one thread outside of it, which reads links, says which files they lead to,
//! and does nothing else.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rustix::fs::{AtFlags, Stat, readlinkat, statat};
use rustix::io::Errno;

/// Plenty for one system call.
const STACK: usize = 64 * 1024;

/// Reads links of processes.
#[derive(Clone, Debug, Default)]
pub struct Links(Way);

#[derive(Clone, Debug, Default)]
enum Way {
    #[default]
    Here,
    /// `None`: nobody may.
    Beyond(Option<Sender<Question>>),
}

struct Question {
    folder: Arc<OwnedFd>,
    name: String,
    answer: To,
}

enum To {
    Link(SyncSender<Result<Vec<u8>, Errno>>),
    Stat(SyncSender<Result<Stat, Errno>>),
}

impl Links {
    /// Reads them on the thread that asks.
    pub fn here() -> Self {
        Self::default()
    }

    /// Reads them on a thread that is started now, before this process restricts its other threads.
    /// `confine` restricts that one to reading links. If it cannot, the thread does not run, and
    /// no link is read.
    pub fn beyond(confine: impl FnOnce() -> bool + Send + 'static) -> Self {
        let (questions, asked) = channel();
        let (confined, is_confined) = sync_channel(1);
        let started = thread::Builder::new()
            .name("links".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let is_confined = confine();
                if confined.send(is_confined).is_ok() && is_confined {
                    answer(&asked);
                }
            });
        let runs = started.is_ok() && is_confined.recv() == Ok(true);
        Self(Way::Beyond(runs.then_some(questions)))
    }

    /// Where a link below a folder leads.
    pub(super) fn read(&self, folder: &Arc<OwnedFd>, name: &str) -> Result<Vec<u8>, Errno> {
        match &self.0 {
            Way::Here => read(folder, name),
            Way::Beyond(thread) => ask(thread.as_ref(), folder, name, To::Link),
        }
    }

    /// What a link below a folder leads to.
    pub(super) fn stat(&self, folder: &Arc<OwnedFd>, name: &str) -> Result<Stat, Errno> {
        match &self.0 {
            Way::Here => statat(folder, name, AtFlags::empty()),
            Way::Beyond(thread) => ask(thread.as_ref(), folder, name, To::Stat),
        }
    }
}

fn ask<T>(
    thread: Option<&Sender<Question>>,
    folder: &Arc<OwnedFd>,
    name: &str,
    to: impl FnOnce(SyncSender<Result<T, Errno>>) -> To,
) -> Result<T, Errno> {
    let (sender, answer) = sync_channel(1);
    let question = Question {
        folder: Arc::clone(folder),
        name: name.to_owned(),
        answer: to(sender),
    };
    let thread = thread.ok_or(Errno::ACCESS)?;
    thread.send(question).map_err(|_| Errno::ACCESS)?;
    answer.recv().map_err(|_| Errno::ACCESS)?
}

fn answer(asked: &Receiver<Question>) {
    for Question {
        folder,
        name,
        answer,
    } in asked
    {
        // Whoever asked may have gone.
        match answer {
            To::Link(answer) => drop(answer.send(read(&folder, &name))),
            To::Stat(answer) => drop(answer.send(statat(&folder, name, AtFlags::empty()))),
        }
    }
}

fn read(folder: &OwnedFd, name: &str) -> Result<Vec<u8>, Errno> {
    readlinkat(folder, name, Vec::new()).map(std::ffi::CString::into_bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn this_process() -> Arc<OwnedFd> {
        Arc::new(File::open("/proc/self").unwrap().into())
    }

    #[test]
    fn a_thread_of_its_own_reads_the_same() {
        let process = this_process();
        let beyond = Links::beyond(|| true);
        let exe = beyond.read(&process, "exe").unwrap();
        assert_eq!(exe, Links::here().read(&process, "exe").unwrap());
        let file = beyond.stat(&process, "exe").unwrap();
        let same = Links::here().stat(&process, "exe").unwrap();
        assert_eq!(file.st_ino, same.st_ino);
        assert_eq!(beyond.read(&process, "nothing"), Err(Errno::NOENT));
    }

    #[test]
    fn what_cannot_be_confined_reads_nothing() {
        let process = this_process();
        let links = Links::beyond(|| false);
        assert_eq!(links.read(&process, "exe"), Err(Errno::ACCESS));
        assert_eq!(links.stat(&process, "exe").err(), Some(Errno::ACCESS));
    }
}
