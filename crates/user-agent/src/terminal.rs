//! Asking the person at the terminal. Sign-ins still need a browser.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::thread;

use async_trait::async_trait;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use keyward_oauth::question::{Answer, ConsentQuestion, PinQuestion, Question};
use keyward_oauth::secret::PinText;
use keyward_oauth::transport::{ShowOptions, Sitting, UserAgent, UserAgentError};

use crate::shown;

/// The terminal of this process, whatever its output was redirected to.
const TERMINAL: &str = "/dev/tty";
/// Ctrl-C, Ctrl-D, and the two that take back a character, as a terminal sends them that does
/// nothing about them itself.
const CANCEL: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;
/// The longest line that is read.
const LONGEST_LINE: usize = 256;
/// The longest PIN: what a TPM takes as an authorization value.
const LONGEST_PIN: usize = 32;

/// Asks questions on the terminal, and leaves everything else to another user agent; questions as
/// well where there is no terminal.
pub struct AtTerminal<A> {
    other: A,
}

impl<A: UserAgent> AtTerminal<A> {
    /// Sign-ins are shown by this one.
    pub fn or_else(other: A) -> Self {
        Self { other }
    }
}

#[async_trait]
impl<A: UserAgent> UserAgent for AtTerminal<A> {
    async fn prepare(&self, show: ShowOptions) -> Result<Box<dyn Sitting>, UserAgentError> {
        self.other.prepare(show).await
    }

    async fn ask(&self, question: Question) -> Result<Answer, UserAgentError> {
        let opened = OpenOptions::new().read(true).write(true).open(TERMINAL);
        match opened {
            Ok(file) if isatty(&file) => Terminal(file).ask(&question).await,
            _ => self.other.ask(question).await,
        }
    }
}

/// A terminal, with a person at it.
struct Terminal(File);

impl Terminal {
    async fn ask(&self, question: &Question) -> Result<Answer, UserAgentError> {
        match question {
            Question::Consent(asked) => self.consent(asked).await,
            Question::Pin(asked) => self.pin(asked).await,
            _ => Err(UserAgentError::Unavailable(
                "the broker asks a question this program does not know".to_owned(),
            )),
        }
    }

    async fn consent(&self, asked: &ConsentQuestion) -> Result<Answer, UserAgentError> {
        let text = consent(asked);
        self.write(&text)?;
        let line = self.line().await?;
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(Answer::Allow),
            "never" => Ok(Answer::Deny),
            _ => Err(UserAgentError::Canceled),
        }
    }

    async fn pin(&self, asked: &PinQuestion) -> Result<Answer, UserAgentError> {
        self.write(&about_pin(asked))?;
        // Until the answer is there, or nobody waits for it any more.
        let _silent = Silent::begin(&self.0);
        loop {
            self.write("PIN: ")?;
            let pin = self.line().await?;
            self.write("\n")?;
            if pin.is_empty() {
                return Err(UserAgentError::Canceled);
            }
            if pin.len() > LONGEST_PIN {
                self.write("a PIN has at most 32 characters\n")?;
                continue;
            }
            if asked.new {
                self.write("the same again: ")?;
                let again = self.line().await?;
                self.write("\n")?;
                if *again != *pin {
                    self.write("the two were not the same\n")?;
                    continue;
                }
            }
            return Ok(Answer::Pin(PinText::new(pin.as_str().to_owned())));
        }
    }

    fn write(&self, text: &str) -> Result<(), UserAgentError> {
        (&self.0).write_all(text.as_bytes()).map_err(|e| broken(&e))
    }

    /// One line, without its end. Who types takes their time, so a thread waits for it; it is left
    /// behind when nobody waits for the answer any more.
    async fn line(&self) -> Result<Zeroizing<String>, UserAgentError> {
        let input = self.0.try_clone().map_err(|e| broken(&e))?;
        let (send, line) = oneshot::channel();
        thread::spawn(move || drop(send.send(read_line(input))));
        match line.await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) | Err(_) => Err(UserAgentError::Canceled),
            Ok(Err(error)) => Err(broken(&error)),
        }
    }
}

fn broken(error: &io::Error) -> UserAgentError {
    UserAgentError::Unavailable(format!("the terminal cannot be used: {error}"))
}

/// Reads one line. `None`: there is no more.
fn read_line(mut input: impl Read) -> io::Result<Option<Zeroizing<String>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_LINE));
    let mut byte = Zeroizing::new([0]);
    loop {
        match input.read(&mut *byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            // These only come from a terminal that is [`Silent`].
            Ok(_) if byte[0] == CANCEL || (byte[0] == END && line.is_empty()) => return Ok(None),
            Ok(_) if [BACKSPACE, DELETE].contains(&byte[0]) => {
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            // What is longer than any answer is none.
            Ok(_) if line.len() < LONGEST_LINE => line.push(byte[0]),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&line);
    let text = text.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let text = text.trim_end_matches('\r');
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// A terminal that does not show what is typed, until this is dropped. It sends no signals either:
/// one would end this process and leave the terminal as it is.
struct Silent<'a>(&'a File, Termios);

impl<'a> Silent<'a> {
    fn begin(terminal: &'a File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut silent = before.clone();
        let modes = LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON;
        silent.local_modes.remove(modes);
        tcsetattr(terminal, OptionalActions::Flush, &silent).ok()?;
        Some(Self(terminal, before))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(self.0, OptionalActions::Now, &self.1);
    }
}

/// Who asks, and for what.
fn consent(asked: &ConsentQuestion) -> String {
    let program = &asked.program;
    let unknown = program.unknown.as_deref().unwrap_or("nobody knows why");
    let path = program.path.clone();
    let path = path.unwrap_or_else(|| format!("not known: {unknown}"));
    let parent = match (&program.parent_name, &program.parent_path) {
        (Some(name), Some(path)) => Some(format!("{name} ({path})")),
        (Some(only), None) | (None, Some(only)) => Some(only.clone()),
        (None, None) => None,
    };
    let client = Some(asked.client_id.clone());
    let rows = [
        ("program", program.name.clone()),
        ("runs", Some(path)),
        ("sandbox", program.sandbox.clone()),
        ("process", program.pid.map(|pid| pid.to_string())),
        ("started by", parent),
        ("client id", client.filter(|client| !client.is_empty())),
        ("account", asked.account.clone()),
        ("authority", asked.authority.clone()),
        ("asks for", Some(asked.scopes.join(", "))),
        ("according to", program.according_to.clone()),
    ];
    let mut lines = vec!["\nA program asks to use your sign-in:".to_owned()];
    for (name, value) in rows {
        if let Some(value) = value {
            let value: String = shown::characters(&value).collect();
            lines.push(format!("  {:<14}{value}", format!("{name}:")));
        }
    }
    if asked.waiting > 0 {
        lines.push(format!("{} more wait for this answer.", asked.waiting));
    }
    lines.push("Allow it? The answer is remembered (`keyward apps`). [y/N/never] ".to_owned());
    lines.join("\n")
}

fn about_pin(asked: &PinQuestion) -> String {
    let mut lines = Vec::new();
    if asked.wrong {
        lines.push("that PIN was wrong".to_owned());
    }
    lines.push(asked.purpose.clone());
    if let Some(device) = &asked.device {
        lines.push(format!("the key is in {device}"));
    }
    if let Some(left) = asked.attempts_left {
        lines.push(format!(
            "the device locks itself after {left} more wrong ones"
        ));
    }
    if asked.new {
        lines.push("choose a new PIN (an empty one cancels)".to_owned());
    }
    let lines = lines
        .iter()
        .map(|line| shown::characters(line).chain(['\n']));
    lines.flatten().collect()
}

#[cfg(test)]
mod tests;
