//! The one thread that speaks with the TPM.
//!
//! A context of the TPM library serves one command at a time and may wait for ever; callers may
//! not. They put a request into a bounded queue and wait for the answer until their deadline.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::context::Connection;
use super::fault::Fault;
use super::tcti::Tcti;
use crate::error::KeyStoreError;

/// How many requests may wait. Each of them gives up at its deadline anyway.
const QUEUE: usize = 256;

/// How long a connection is kept without being used. A session that stays open for long while
/// others use theirs makes the TPM refuse the others (TPM_RC_CONTEXT_GAP); without a resource
/// manager it also takes up their places.
const IDLE: Duration = Duration::from_secs(5);

/// How long to wait before each further attempt, while the TPM is full, busy or being restarted.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

/// How long the end of the process waits for the TPM.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whether commands may be given again when it is not known whether they were carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// They change nothing in the TPM, or nothing that matters.
    Harmless,
    /// They count.
    Never,
}

/// The workers stores share.
static SHARED: Mutex<Vec<Weak<Worker>>> = Mutex::new(Vec::new());

/// The thread and the way to it.
pub(super) struct Worker {
    tcti: Tcti,
    deadline: Duration,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    queue: SyncSender<Request>,
    /// Closed when it ends.
    ended: Receiver<()>,
}

struct Request {
    expires: Instant,
    again: Again,
    commands: Box<dyn Attempt>,
}

/// Commands that can be given more than once, and whoever waits for what comes of them.
trait Attempt: Send {
    /// Gives them. The fault, if another attempt would make sense; else the caller is answered.
    fn run(&mut self, connection: Result<&mut Connection, Fault>) -> Option<Fault>;
    /// Gives up: the caller is answered.
    fn give_up(&mut self, fault: Fault);
}

struct Call<T, F> {
    commands: F,
    answer: SyncSender<Result<T, Fault>>,
}

impl<T, F> Attempt for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: Result<&mut Connection, Fault>) -> Option<Fault> {
        let result = connection.and_then(|connection| (self.commands)(connection));
        match result {
            Err(
                fault @ (Fault::Disconnected(_)
                | Fault::Full(_)
                | Fault::Busy(_)
                | Fault::Unauthorized),
            ) => Some(fault),
            other => {
                self.tell(other);
                None
            }
        }
    }

    fn give_up(&mut self, fault: Fault) {
        self.tell(Err(fault));
    }
}

impl<T, F> Call<T, F> {
    fn tell(&self, result: Result<T, Fault>) {
        // Whoever asked may have given up meanwhile.
        let _ = self.answer.try_send(result);
    }
}

impl Worker {
    /// The worker of this process for this TPM, one for all stores that use it: commands of two
    /// connections would only wait for each other in the TPM.
    pub(super) fn shared(tcti: Tcti, deadline: Duration) -> Arc<Self> {
        let mut workers = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        let known = workers
            .iter()
            .filter_map(Weak::upgrade)
            .find(|worker| worker.tcti.text() == tcti.text() && worker.deadline == deadline);
        known.unwrap_or_else(|| {
            let worker = Arc::new(Self::new(tcti, deadline));
            workers.push(Arc::downgrade(&worker));
            worker
        })
    }

    /// A worker that connects when it is first asked.
    pub(super) fn new(tcti: Tcti, deadline: Duration) -> Self {
        Self {
            tcti,
            deadline,
            thread: Mutex::default(),
        }
    }

    /// How long a caller waits.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Has commands carried out, and waits for what comes of them until the deadline.
    pub(super) fn call<T, F>(&self, again: Again, commands: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (answer, result) = mpsc::sync_channel(1);
        self.submit(Request {
            expires: Instant::now() + self.deadline,
            again,
            commands: Box::new(Call { commands, answer }),
        })?;
        match result.recv_timeout(self.deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(unavailable(format!(
                "it did not answer within {} s",
                self.deadline.as_secs_f32()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(unavailable(
                "the thread that speaks with it ended".to_owned(),
            )),
        }
    }

    fn submit(&self, request: Request) -> Result<(), Fault> {
        let mut running = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let request = match running.as_ref().map(|thread| &thread.queue) {
            None => request,
            Some(queue) => match queue.try_send(request) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => {
                    return Err(unavailable("too many requests wait for it".to_owned()));
                }
                // It ended, which it never should; another one may not.
                Err(TrySendError::Disconnected(request)) => request,
            },
        };
        let thread = running.insert(start(self.tcti.clone())?);
        let sent = thread.queue.try_send(request);
        sent.map_err(|_| unavailable("the thread that speaks with it ended".to_owned()))
    }
}

impl Drop for Worker {
    /// Lets the thread give back what it has in the TPM before the process ends.
    fn drop(&mut self) {
        let running = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(Thread { queue, ended }) = running.take() {
            drop(queue);
            // A TPM that does not answer keeps nobody from ending.
            let _ = ended.recv_timeout(FAREWELL);
        }
    }
}

fn unavailable(why: String) -> Fault {
    Fault::Final(KeyStoreError::Unavailable(why))
}

fn start(tcti: Tcti) -> Result<Thread, Fault> {
    let (queue, requests) = mpsc::sync_channel(QUEUE);
    let (ending, ended) = mpsc::channel();
    thread::Builder::new()
        .name("tpm".to_owned())
        .spawn(move || {
            serve(&tcti, &requests);
            drop(ending);
        })
        .map_err(|error| unavailable(format!("no thread could be started for it: {error}")))?;
    Ok(Thread { queue, ended })
}

/// Carries out requests until nobody can make any more.
fn serve(tcti: &Tcti, requests: &Receiver<Request>) {
    let mut connection = None;
    loop {
        match requests.recv_timeout(IDLE) {
            Ok(request) => carry_out(request, tcti, &mut connection),
            Err(RecvTimeoutError::Timeout) => {
                connection = None;
                match requests.recv() {
                    Ok(request) => carry_out(request, tcti, &mut connection),
                    Err(_) => return,
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn carry_out(mut request: Request, tcti: &Tcti, connection: &mut Option<Connection>) {
    let mut pauses = PAUSES.iter();
    loop {
        if Instant::now() >= request.expires {
            // Nobody waits for it any more, or not for long.
            let late = "it was busy until the deadline".to_owned();
            return request.commands.give_up(unavailable(late));
        }
        let fresh = connection.is_none();
        let opened = match connection {
            Some(open) => Ok(open),
            None => Connection::open(tcti).map(|open| connection.insert(open)),
        };
        let connected = opened.is_ok();
        let Some(fault) = request.commands.run(opened) else {
            return;
        };
        // What was loaded is gone, or is given back: it may be what the TPM has no room beside.
        let usable = match &fault {
            Fault::Busy(_) => true,
            Fault::Full(_) => connection
                .as_mut()
                .is_some_and(|open| open.make_room().is_ok()),
            _ => false,
        };
        if !usable {
            *connection = None;
        }
        let refused = match fault {
            // Carried out or not?
            Fault::Disconnected(_) => connected && request.again == Again::Never,
            // Somebody else may have our session's number after a restart; a new one is ours.
            Fault::Unauthorized => fresh,
            _ => false,
        };
        match pauses.next() {
            Some(pause) if !refused && Instant::now() + *pause < request.expires => {
                thread::sleep(*pause);
            }
            _ => return request.commands.give_up(fault),
        }
    }
}
