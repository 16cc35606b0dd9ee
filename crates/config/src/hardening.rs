//! What keywardd gives up after start-up, and when it ends by itself.

use std::fmt;
use std::time::Duration;

use crate::key::Raw;
use crate::origin::Setting;

/// What the kernel keeps keywardd from after start-up. On, unless switched off; an administrator's
/// `true` cannot be switched off by others.
#[derive(Clone, Debug)]
pub struct Hardening {
    /// Files outside its own folders, and listening on TCP (Landlock).
    pub landlock: Setting<bool>,
    /// Executing programs, and the system calls it has no use for (seccomp).
    pub seccomp: Setting<bool>,
}

impl Default for Hardening {
    fn default() -> Self {
        Self {
            landlock: Setting::default_of(true),
            seccomp: Setting::default_of(true),
        }
    }
}

/// When keywardd ends because nobody asks it for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleExit {
    /// After ten minutes, where a service manager holds the socket and starts it again for the
    /// next caller; never elsewhere.
    Automatic,
    /// Never.
    Never,
    /// After this long.
    After(Duration),
}

impl IdleExit {
    /// What [`Automatic`](Self::Automatic) means where the socket is a service manager's.
    const ACTIVATED: Duration = Duration::from_secs(600);

    /// How long nobody may ask before it ends. `None`: for ever.
    pub fn after(self, socket_is_passed: bool) -> Option<Duration> {
        match self {
            Self::Automatic => socket_is_passed.then_some(Self::ACTIVATED),
            Self::Never => None,
            Self::After(duration) => Some(duration),
        }
    }

    /// Reads `"auto"`, 0 for never, or a number of seconds.
    pub(crate) fn read(raw: &Raw<'_>) -> Result<Self, String> {
        if raw.text().is_ok_and(|text| text == "auto") {
            return Ok(Self::Automatic);
        }
        let seconds = raw
            .seconds(0..=86_400)
            .map_err(|expected| format!("{expected}, or \"auto\""))?;
        Ok(if seconds.is_zero() {
            Self::Never
        } else {
            Self::After(seconds)
        })
    }
}

impl fmt::Display for IdleExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic => f.write_str("\"auto\""),
            Self::Never => f.write_str("0"),
            Self::After(duration) => write!(f, "{}", duration.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_somebody_starts_it_again_it_ends_by_itself() {
        assert_eq!(IdleExit::Automatic.after(false), None);
        let after = IdleExit::Automatic.after(true);
        assert_eq!(after, Some(Duration::from_secs(600)));
        assert_eq!(IdleExit::Never.after(true), None);
        let chosen = IdleExit::After(Duration::from_secs(5));
        assert_eq!(chosen.after(false), Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_shown_is_what_is_read() {
        for text in ["auto", "0", "17"] {
            let read = IdleExit::read(&Raw::Text(text)).unwrap();
            assert_eq!(read.to_string().trim_matches('"'), text);
        }
        for wrong in ["", "never", "-1", "86401"] {
            let error = IdleExit::read(&Raw::Text(wrong)).unwrap_err();
            assert!(error.ends_with("or \"auto\""), "{error}");
        }
    }
}
