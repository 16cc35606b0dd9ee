//! The form of a question, as a browser sends it (`application/x-www-form-urlencoded`).

use zeroize::Zeroizing;

use keyward_oauth::question::{Answer, Question};
use keyward_oauth::secret::PinText;

/// The longest PIN: what a TPM takes as an authorization value.
const LONGEST_PIN: usize = 32;

/// A form that was filled in.
#[derive(Debug)]
pub(super) enum Filled {
    Answer(Answer),
    /// The person does not want to answer.
    Dismissed,
    /// Something is missing; the page is shown again, and says so.
    Again(&'static str),
}

/// Reads a form with this token in it. `None`: no form of ours.
pub(super) fn read(body: &[u8], token: &str, question: &Question) -> Option<Filled> {
    let field = |wanted: &str| field(body, wanted);
    if *field("token")? != *token {
        return None;
    }
    let answer = field("answer")?;
    Some(match (question, answer.as_str()) {
        (_, "dismiss") => Filled::Dismissed,
        (Question::Consent(_), "allow") => Filled::Answer(Answer::Allow),
        (Question::Consent(_), "deny") => Filled::Answer(Answer::Deny),
        (Question::Pin(asked), "pin") => {
            let pin = field("pin")?;
            if pin.is_empty() || pin.len() > LONGEST_PIN {
                Filled::Again("A PIN has 1 to 32 characters.")
            } else if asked.new && field("again").is_none_or(|again| *again != *pin) {
                Filled::Again("The two were not the same.")
            } else {
                Filled::Answer(Answer::Pin(PinText::new(pin.as_str().to_owned())))
            }
        }
        _ => return None,
    })
}

/// The value of a field; the first one counts. What it passes through is zeroised.
fn field(body: &[u8], wanted: &str) -> Option<Zeroizing<String>> {
    let pairs = body.split(|byte| *byte == b'&');
    let mut fields = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..]))
    });
    let (_, value) = fields.find(|(name, _)| *name == wanted.as_bytes())?;
    decoded(value)
}

fn decoded(value: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(16 * digit()? + digit()?).ok()?
            }
            other => *other,
        });
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_oauth::question::PinQuestion;

    fn pin(new: bool) -> Question {
        Question::Pin(PinQuestion {
            new,
            ..PinQuestion::default()
        })
    }

    fn consent() -> Question {
        Question::Consent(Box::default())
    }

    fn read_pin(body: &str, new: bool) -> String {
        match read(body.as_bytes(), "t", &pin(new)).unwrap() {
            Filled::Answer(Answer::Pin(pin)) => pin.expose_secret().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_counts_only_with_the_secret_of_its_form() {
        let answered = |body: &str| read(body.as_bytes(), "t", &consent());
        assert!(matches!(
            answered("token=t&answer=allow"),
            Some(Filled::Answer(Answer::Allow))
        ));
        assert!(matches!(
            answered("answer=deny&token=t"),
            Some(Filled::Answer(Answer::Deny))
        ));
        assert!(matches!(
            answered("token=t&answer=dismiss"),
            Some(Filled::Dismissed)
        ));
        for body in [
            "",
            "answer=allow",
            "token=&answer=allow",
            "token=u&answer=allow",
            "token=u&token=t&answer=allow",
            "token=t",
            "token=t&answer=yes",
            "token=t&answer=pin&pin=1",
            "token=%zz&answer=allow",
            "token=t%",
        ] {
            assert!(answered(body).is_none(), "{body}");
        }
    }

    #[test]
    fn a_pin_arrives_as_it_was_typed() {
        assert_eq!(
            read_pin("token=t&answer=pin&pin=12+3%25%c3%a4", false),
            "12 3%ä"
        );
        assert_eq!(read_pin("token=t&answer=pin&pin=1&again=1", true), "1");
    }

    #[test]
    fn a_pin_nobody_can_have_meant_is_asked_for_again() {
        let long = format!("token=t&answer=pin&pin={}", "1".repeat(33));
        for (body, new) in [
            ("token=t&answer=pin&pin=", false),
            (long.as_str(), false),
            ("token=t&answer=pin&pin=1", true),
            ("token=t&answer=pin&pin=1&again=2", true),
        ] {
            let filled = read(body.as_bytes(), "t", &pin(new)).unwrap();
            assert!(matches!(filled, Filled::Again(_)), "{body}");
        }
    }
}
