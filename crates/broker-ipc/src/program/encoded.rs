//! Programs as a forwarding process names them: the same few, request after request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Program;

/// The longest word for a program. Paths have at most 4096 bytes, and there are two.
const LONGEST: usize = 16 * 1024;
/// How many programs are kept for one connection.
const MOST: usize = 256;

/// The programs one connection has named, so that each is read once.
#[derive(Debug, Default)]
pub(crate) struct Encoded(Mutex<HashMap<Box<str>, Arc<Program>>>);

impl Encoded {
    /// The program behind a word. One that cannot be read is an unknown one.
    pub(crate) fn program(&self, word: Option<&str>) -> Arc<Program> {
        let Some(word) = word.filter(|word| word.len() <= LONGEST) else {
            return Program::unknown();
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known.get(word) {
            return Arc::clone(program);
        }
        let Some(program) = Program::decode(word).map(Arc::new) else {
            return Program::unknown();
        };
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(Box::from(word), Arc::clone(&program));
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_once_and_few_are_kept() {
        let encoded = Encoded::default();
        let word = Program::unknown_because("a reason").encoded().to_owned();
        let first = encoded.program(Some(&word));
        assert_eq!(first.unknown.as_deref(), Some("a reason"));
        assert!(Arc::ptr_eq(&first, &encoded.program(Some(&word))));
        for number in 0..2 * MOST {
            let other = Program::unknown_because(number.to_string());
            encoded.program(Some(other.encoded()));
        }
        assert!(encoded.0.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let encoded = Encoded::default();
        let long = "A".repeat(LONGEST + 1);
        for word in [None, Some(""), Some("?"), Some(long.as_str())] {
            assert_eq!(encoded.program(word).id(), "unknown");
        }
    }
}
