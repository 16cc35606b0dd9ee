//! The frame around every page: one style, no script but one, nothing from elsewhere.

use std::fmt;
use std::sync::LazyLock;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use keyward_jose::digest::sha256;

use crate::reply;
use crate::signin::sitting::Sitting;

/// Something that went wrong, for the person and for the program that fills in the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    /// `AADSTS50126`, `wrong_password`…
    pub(crate) code: String,
    pub(crate) text: String,
}

/// One page.
pub(super) struct Layout<'a> {
    /// The value of `data-page`.
    pub(super) name: &'static str,
    pub(super) heading: String,
    /// HTML.
    pub(super) content: String,
    /// Where the form may lead beside ourselves.
    pub(super) form_action: &'a str,
    pub(super) script: bool,
}

impl Layout<'_> {
    /// The page as an answer.
    pub(super) fn response(&self, status: StatusCode) -> Response {
        let script = if self.script {
            format!("<script>{SUBMIT}</script>")
        } else {
            String::new()
        };
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n\
             <title>{heading} – Keyward development authority</title>\n<style>{STYLE}</style>\n\
             </head>\n<body data-page=\"{name}\">\n<main>\n<h1>{heading}</h1>\n{content}\n</main>\n\
             <footer>Keyward development authority. It runs on this computer, and nothing in it is \
             real.</footer>\n{script}</body>\n</html>\n",
            heading = Escaped(&self.heading),
            name = self.name,
            content = self.content,
        );
        let response = reply::with_body(status, "text/html; charset=utf-8", html);
        let response = reply::with_header(response, CONTENT_SECURITY_POLICY, &self.policy());
        let response = reply::with_header(response, CACHE_CONTROL, "no-store");
        let response = reply::with_header(response, X_FRAME_OPTIONS, "DENY");
        reply::with_header(response, REFERRER_POLICY, "no-referrer")
    }

    fn policy(&self) -> String {
        static HASHES: LazyLock<(String, String)> = LazyLock::new(|| (hash(STYLE), hash(SUBMIT)));
        let (style, script) = &*HASHES;
        format!(
            "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; \
             frame-ancestors 'none'; form-action 'self' {}",
            self.form_action
        )
    }
}

/// A form that goes on with a sitting.
pub(super) fn sitting_form(sitting: &Sitting, page: &str, content: &str) -> String {
    format!(
        "<form method=\"post\" action=\"/signin\">\n\
         <input type=\"hidden\" name=\"flow\" value=\"{}\">\n\
         <input type=\"hidden\" name=\"canary\" value=\"{}\">\n\
         <input type=\"hidden\" name=\"page\" value=\"{page}\">\n{content}\n</form>",
        Escaped(&sitting.id),
        Escaped(&sitting.canary),
    )
}

/// A button that sends a form.
pub(super) fn button(name: &str, value: &str, label: &str, class: &str) -> String {
    format!(
        "<button type=\"submit\" class=\"{class}\" name=\"{name}\" value=\"{}\">{}</button>",
        Escaped(value),
        Escaped(label)
    )
}

/// A button that leaves without filling in what is required.
pub(super) fn leave(value: &str, label: &str) -> String {
    format!(
        "<button type=\"submit\" class=\"quiet\" name=\"action\" value=\"{value}\" \
         formnovalidate>{label}</button>"
    )
}

/// What went wrong, or nothing.
pub(super) fn alert(alert: Option<&Alert>) -> String {
    alert.map_or_else(String::new, |alert| {
        format!(
            "<p role=\"alert\" data-error=\"{}\">{}</p>",
            Escaped(&alert.code),
            Escaped(&alert.text)
        )
    })
}

/// Text in HTML, in an element or in a double-quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A hash source (Content Security Policy 3 §2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(sha256(text.as_bytes())))
}

/// Sends a form by itself, for `response_mode=form_post`; without it there is a button.
const SUBMIT: &str = "document.forms[0].submit();";

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#57606a;--paper:#fff;--edge:#d0d7de;\
--accent:#0a5bd3;--bad:#b3261e;--ground:#f3f5f8}\
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--quiet:#9aa5b1;--paper:#161b22;\
--edge:#30363d;--accent:#6cb0ff;--bad:#ff8a80;--ground:#0d1117}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;\
justify-content:center;gap:1rem;padding:1rem;background:var(--ground);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}\
main{width:100%;max-width:27rem;padding:2rem;background:var(--paper);border:1px solid var(--edge);\
border-radius:.75rem}\
h1{margin:0 0 1rem;font-size:1.4rem;line-height:1.25}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input{width:100%;padding:.6rem .7rem;font:inherit;color:inherit;background:transparent;\
border:1px solid var(--quiet);border-radius:.4rem}\
button{margin:1.25rem .5rem 0 0;padding:.55rem 1.2rem;font:inherit;border-radius:.4rem;\
border:1px solid var(--accent);background:var(--accent);color:var(--paper);cursor:pointer}\
button.quiet{background:transparent;color:var(--accent)}\
button.account{display:block;width:100%;margin:.5rem 0;text-align:left;background:transparent;\
color:inherit;border-color:var(--edge)}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
[role=alert]{margin:.5rem 0;padding:.5rem .75rem;border-left:4px solid var(--bad);color:var(--bad);\
overflow-wrap:anywhere}\
dl{color:var(--quiet);font-size:.85rem;overflow-wrap:anywhere}dd{margin:0 0 .5rem}\
li{overflow-wrap:anywhere}.who{color:var(--quiet);overflow-wrap:anywhere}\
footer{color:var(--quiet);font-size:.8rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let text = Escaped("<b a=\"x\" b='y'>&amp;").to_string();
        assert_eq!(text, "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
    }
}
