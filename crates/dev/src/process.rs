//! The processes of one demo or session: started, waited for, and ended by us alone.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use keyward_session::readiness::Readiness;
use tokio::process::{Child, Command};

use crate::DevError;
use crate::place::Place;

/// How long a process of ours may take to get ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Tells a process of ours whose end it must not outlive.
const PARENT: &str = "KEYWARD_DEV_PARENT";

/// Makes this process end with the `keyward-dev` that started it, however that ends. Does nothing
/// in a process that somebody else started.
pub fn end_with_parent() {
    let named = std::env::var(PARENT).ok();
    let is_parent = || {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        parent.is_some() && parent == named
    };
    if !is_parent() {
        return;
    }
    let term = Some(rustix::process::Signal::TERM);
    if let Err(error) = rustix::process::set_parent_process_death_signal(term) {
        eprintln!("keyward-dev: this process may outlive its parent: {error}");
    } else if !is_parent() {
        // It ended before we could ask to be told.
        std::process::exit(1);
    }
}

/// The name under which this binary becomes somebody else's program that ends with its parent, too.
pub const ATTACHED: &str = "keyward-dev-attached";

/// A command for a program that is not ours and must not outlive this process, `this` being this
/// binary.
pub fn attached(this: &Path, program: &str) -> Command {
    let mut command = Command::new(this);
    command
        .arg0(ATTACHED)
        .arg(program)
        .env(PARENT, std::process::id().to_string())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Becomes the program of the arguments. What was asked of the kernel in
/// [`end_with_parent`] stays asked (prctl(2), `PR_SET_PDEATHSIG`).
pub fn become_attached(arguments: &[OsString]) -> ExitCode {
    end_with_parent();
    let Some((program, arguments)) = arguments.get(1..).and_then(<[_]>::split_first) else {
        return ExitCode::FAILURE;
    };
    let error = std::process::Command::new(program)
        .args(arguments)
        .env_remove(PARENT)
        .exec();
    eprintln!("keyward-dev: cannot run {}: {error}", program.display());
    ExitCode::FAILURE
}

/// A process of ours. It is killed, by its own id, when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts one of this binary's programs and waits until it says that it serves
    /// (`READY=1` on `NOTIFY_SOCKET`, as under systemd).
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends early, or does not get ready in time.
    pub async fn start(
        place: &Place,
        name: &'static str,
        arguments: &[OsString],
        environment: &[(&str, OsString)],
    ) -> Result<Self, DevError> {
        let readiness = Readiness::bind(place.run().join(format!("{name}.ready")))
            .map_err(DevError::io("listen for readiness"))?;
        let (variable, value) = readiness.variable();
        let child = Command::new(place.program(name))
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .env(variable, value)
            // The library under the TPM reports every refusal, also of what is tried again.
            .env("TSS2_LOG", "all+NONE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .env(PARENT, std::process::id().to_string())
            .kill_on_drop(true)
            // Ctrl-C in the terminal is for the command, not for its broker.
            .process_group(0)
            .spawn()
            .map_err(DevError::io(format!("start {name}")))?;
        let mut process = Self { name, child };
        process.ready(&readiness).await?;
        Ok(process)
    }

    async fn ready(&mut self, readiness: &Readiness) -> Result<(), DevError> {
        let name = self.name;
        tokio::select! {
            ready = readiness.wait() => ready.map_err(DevError::io(format!("wait for {name}"))),
            ended = self.child.wait() => Err(DevError::Environment(match ended {
                Ok(status) => format!("{name} ended before it was ready: {status}"),
                Err(error) => format!("{name} cannot be waited for: {error}"),
            })),
            () = tokio::time::sleep(READY_WITHIN) => Err(DevError::Environment(format!(
                "{name} was not ready within {} s", READY_WITHIN.as_secs()
            ))),
        }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends the process and waits until it is gone.
    pub async fn stop(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(process = self.name, %error, "was gone already");
        }
    }
}
