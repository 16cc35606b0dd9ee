//! The pages of a question. Plain HTML that every browser and screen reader can show; whatever a
//! program says about itself is text in it and nothing else.

use std::fmt::Write as _;

use keyward_oauth::question::{ConsentQuestion, PinQuestion, Question};

use crate::shown::characters;

/// The most scopes that are listed one by one.
const MOST_SCOPES: usize = 30;

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 42rem; padding: 2rem 1rem; }
h1 { font-size: 1.5rem; font-weight: 600; }
dt { font-weight: 600; } dd { margin: 0 0 .6rem 0; overflow-wrap: anywhere; }
.note { border-left: .3rem solid; padding-left: .8rem; }
label { display: block; margin: .6rem 0; }
input { font: inherit; padding: .3rem; display: block; }
button { font: inherit; padding: .5rem 1.2rem; margin: 1rem .6rem 0 0; }
";

/// The page that asks. `problem`: what was wrong with the form before.
pub(super) fn question(question: &Question, token: &str, problem: Option<&str>) -> String {
    let (title, mut body) = match question {
        Question::Consent(asked) => ("May this program use your sign-in?", consent(asked)),
        Question::Pin(asked) if asked.new => ("Choose a PIN", pin(asked)),
        Question::Pin(asked) => ("Enter your PIN", pin(asked)),
        // A newer question than this program knows can only be dismissed.
        _ => ("A question", String::new()),
    };
    if let Some(problem) = problem {
        body.insert_str(
            0,
            &format!("<p role=\"alert\" class=\"note\">{}</p>", text(problem)),
        );
    }
    let buttons = match question {
        Question::Consent(_) => {
            button("allow", "Allow") + &button("dismiss", "Not now") + &button("deny", "Never")
        }
        Question::Pin(_) => button("pin", "Continue") + &button("dismiss", "Cancel"),
        _ => button("dismiss", "Cancel"),
    };
    page(
        title,
        &format!(
            "<form method=\"post\" autocomplete=\"off\">\
             <input type=\"hidden\" name=\"token\" value=\"{token}\">{body}{buttons}</form>"
        ),
    )
}

/// The page after the answer.
pub(super) fn done(said: &str) -> String {
    page(said, "<p>You can close this tab.</p>")
}

fn button(value: &str, label: &str) -> String {
    format!("<button name=\"answer\" value=\"{value}\">{label}</button>")
}

fn consent(asked: &ConsentQuestion) -> String {
    let program = &asked.program;
    let mut body = String::new();
    let unknown = program.unknown.as_deref().unwrap_or("nobody knows why");
    let path = program.path.clone();
    let path = path.unwrap_or_else(|| format!("not known: {unknown}"));
    let mut rows = vec![
        ("Program", program.name.clone()),
        ("Runs", Some(path)),
        ("Sandbox", program.sandbox.clone()),
        ("Process", program.pid.map(|pid| pid.to_string())),
        ("Started by", started_by(asked)),
        ("Client id", Some(asked.client_id.clone())),
        ("Account", asked.account.clone()),
        ("Authority", asked.authority.clone()),
    ];
    if asked.client_id.is_empty() {
        rows.retain(|(name, _)| *name != "Client id");
    }
    body.push_str("<dl>");
    for (name, value) in rows {
        if let Some(value) = value {
            // Writing to a text does not fail.
            let _ = write!(body, "<dt>{name}</dt><dd>{}</dd>", text(&value));
        }
    }
    body.push_str("<dt>Asks for</dt><dd><ul>");
    for scope in asked.scopes.iter().take(MOST_SCOPES) {
        let _ = write!(body, "<li>{}</li>", text(scope));
    }
    if let Some(more) = asked.scopes.len().checked_sub(MOST_SCOPES)
        && more > 0
    {
        let _ = write!(body, "<li>and {more} more</li>");
    }
    body.push_str("</ul></dd></dl>");
    if let Some(who) = &program.according_to {
        let _ = write!(body, "<p>All this according to {}.</p>", text(who));
    }
    body.push_str(
        "<p class=\"note\">A program can call itself anything. Allow it only if you started it and \
         expect it to use your account. Your answer is remembered; <code>keyward apps</code> shows \
         and revokes it.</p>",
    );
    if asked.waiting > 0 {
        let _ = write!(body, "<p>{} more wait for this answer.</p>", asked.waiting);
    }
    body
}

fn started_by(asked: &ConsentQuestion) -> Option<String> {
    let program = &asked.program;
    Some(match (&program.parent_name, &program.parent_path) {
        (Some(name), Some(path)) => format!("{name} ({path})"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => return None,
    })
}

fn pin(asked: &PinQuestion) -> String {
    let mut body = String::new();
    if asked.wrong {
        body.push_str("<p role=\"alert\" class=\"note\">That PIN was wrong.</p>");
    }
    let _ = write!(body, "<p>{}.</p>", text(&asked.purpose));
    if let Some(device) = &asked.device {
        let _ = write!(body, "<p>The key is in {}.</p>", text(device));
    }
    if let Some(left) = asked.attempts_left {
        let _ = write!(
            body,
            "<p>The device locks itself after {left} more wrong ones.</p>"
        );
    }
    let completion = if asked.new { "new-password" } else { "off" };
    let field = |name: &str, label: &str, more: &str| {
        format!(
            "<label>{label}<input type=\"password\" name=\"{name}\" autocomplete=\"{completion}\" \
             maxlength=\"32\" required{more}></label>"
        )
    };
    body += &field("pin", "PIN", " autofocus");
    if asked.new {
        body += &field("again", "The same again", "");
    }
    body
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · \
         Keyward</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
}

/// A stranger's text: nothing in it is markup, turns the direction of what follows, or hides.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in characters(text) {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_oauth::question::Asker;

    #[test]
    fn a_program_s_own_words_are_text_and_nothing_else() {
        assert_eq!(
            text("<b a='1' b=\"2\">&\u{202e}\n\u{200b}"),
            "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn who_asks_and_for_what_is_shown() {
        let asked = Question::Consent(Box::new(ConsentQuestion {
            program: Asker {
                name: Some("<script>".to_owned()),
                path: Some("/home/a/bin/tool".to_owned()),
                parent_name: Some("bash".to_owned()),
                parent_path: Some("/usr/bin/bash".to_owned()),
                ..Asker::default()
            },
            client_id: "client-1".to_owned(),
            scopes: vec!["User.Read".to_owned(), "Mail.Read".to_owned()],
            account: Some("alice@dev.test".to_owned()),
            waiting: 2,
            ..ConsentQuestion::default()
        }));
        let page = question(&asked, "t0ken", None);
        for shown in [
            "&lt;script&gt;",
            "/home/a/bin/tool",
            "bash (/usr/bin/bash)",
            "client-1",
            "<li>Mail.Read</li>",
            "alice@dev.test",
            "2 more wait",
            "value=\"t0ken\"",
            "lang=\"en\"",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn a_pin_is_not_shown_while_it_is_typed() {
        let asked = Question::Pin(PinQuestion {
            purpose: "to unlock the keys".to_owned(),
            new: true,
            wrong: true,
            attempts_left: Some(3),
            ..PinQuestion::default()
        });
        let page = question(&asked, "t", Some("The two were not the same."));
        assert_eq!(page.matches("type=\"password\"").count(), 2, "{page}");
        assert!(page.contains("That PIN was wrong") && page.contains("3 more wrong"));
        assert!(page.contains("The two were not the same."));
    }
}
