//! What a person is asked besides signing in: whether a program may have tokens, and for the PIN
//! of a key.
//!
//! A question crosses process borders on its way to the person, so it can be written as JSON; an
//! answer that holds a secret cannot.

use serde::{Deserialize, Serialize};

use crate::secret::PinText;

/// A question to the person at this device.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "kebab-case")]
pub enum Question {
    /// May this program have tokens?
    Consent(Box<ConsentQuestion>),
    /// What is the PIN?
    Pin(PinQuestion),
}

/// What the person answered. Refusing to answer is
/// [`UserAgentError::Canceled`](crate::transport::UserAgentError::Canceled).
#[non_exhaustive]
#[derive(Debug)]
pub enum Answer {
    /// It may.
    Allow,
    /// It may not, now and later.
    Deny,
    /// The PIN.
    Pin(PinText),
}

/// Asks whether a program may have tokens. All texts but our own come from the program that asks:
/// whoever shows them treats them as text and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentQuestion {
    /// Who asks.
    pub program: Asker,
    /// The client id it uses; empty when it wants to manage the broker itself.
    pub client_id: String,
    /// What it wants to do.
    pub scopes: Vec<String>,
    /// The account it asks for. `None`: whichever signs in.
    pub account: Option<String>,
    /// Issuer of the authority, or what the program calls it.
    pub authority: Option<String>,
    /// How many other questions and sign-ins wait for this one.
    #[serde(default)]
    pub waiting: usize,
}

/// Who asks, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The process's own name for itself.
    pub name: Option<String>,
    /// The path of its executable.
    pub path: Option<String>,
    /// The process, where the transport names it.
    pub pid: Option<u32>,
    /// The name of the process that started it.
    pub parent_name: Option<String>,
    /// The path of that process's executable.
    pub parent_path: Option<String>,
    /// The sandbox it runs in, as `flatpak:ID` or `snap:NAME`.
    pub sandbox: Option<String>,
    /// Why its executable is not known.
    pub unknown: Option<String>,
    /// Who says all this, if it is not the kernel.
    pub according_to: Option<String>,
}

/// Asks for the PIN of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinQuestion {
    /// What it is needed for, as a sentence without full stop.
    pub purpose: String,
    /// The device that holds the key.
    pub device: Option<String>,
    /// Whether a new one is chosen; it is asked for twice.
    #[serde(default)]
    pub new: bool,
    /// Whether the one that was given last was wrong.
    #[serde(default)]
    pub wrong: bool,
    /// How many wrong ones the device takes before it locks itself, where it says.
    pub attempts_left: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_survives_the_way_to_the_person() {
        let questions = [
            Question::Consent(Box::new(ConsentQuestion {
                program: Asker {
                    name: Some("curl".to_owned()),
                    ..Asker::default()
                },
                client_id: "c".to_owned(),
                scopes: vec!["User.Read".to_owned()],
                ..ConsentQuestion::default()
            })),
            Question::Pin(PinQuestion {
                purpose: "unlock the keys".to_owned(),
                wrong: true,
                ..PinQuestion::default()
            }),
        ];
        for question in questions {
            let text = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&text).unwrap(), question);
        }
    }

    #[test]
    fn debug_of_an_answer_shows_no_pin() {
        let answer = Answer::Pin(PinText::new("123456".to_owned()));
        assert!(!format!("{answer:?}").contains("123456"));
    }
}
