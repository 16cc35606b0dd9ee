//! An authorization request nobody sees, to learn whether an authority answers at a redirect URI.
//!
//! Errors about the redirect URI must not be sent to it (RFC 6749 §4.1.2.1): they are pages, and
//! whoever waits for the redirect waits in vain. With `prompt=none` every other outcome is a
//! redirect (OpenID Connect Core §3.1.2.6), so a page that names the redirect URI is a refusal.

use std::collections::BTreeMap;

use http::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION};
use url::Url;
use zeroize::Zeroizing;

use super::{AuthorizationRequest, start};
use crate::answer::Answer;
use crate::error_response::ErrorResponse;
use crate::metadata::Metadata;
use crate::transport::{HttpRequest, HttpResponse};

/// The longest description taken from a page, in bytes.
const LONGEST: usize = 400;

/// What an authority said about a redirect URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answers there.
    Allowed,
    /// It does not, in its own words.
    Refused(Box<ErrorResponse>),
    /// Nothing that could be understood.
    Unsaid,
}

/// A request like `request`, with a state, a nonce and a challenge of its own, and without what
/// concerns the person or the application's purpose. Its answer is of no use for a sign-in.
pub fn rehearsal(
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
    random: &mut dyn FnMut(&mut [u8]),
) -> HttpRequest {
    let nothing = BTreeMap::new();
    let request = AuthorizationRequest {
        prompt: Some("none"),
        login_hint: None,
        claims: None,
        dpop_jkt: None,
        extra_parameters: &nothing,
        ..request.clone()
    };
    let (url, _never_answered) = start(metadata, &request, random);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/html, */*;q=0.5"));
    HttpRequest {
        method: http::Method::GET,
        url,
        headers,
        body: Zeroizing::default(),
    }
}

/// Reads the answer to a [`rehearsal`] at this authorization endpoint.
pub fn verdict(response: &HttpResponse, endpoint: &Url, redirect_uri: &Url) -> Verdict {
    let location = response.headers.get(LOCATION);
    if let Some(location) = location {
        let target = location.to_str().ok().and_then(|to| endpoint.join(to).ok());
        let there = target.is_some_and(|target| {
            target.origin() == redirect_uri.origin() && target.path() == redirect_uri.path()
        });
        return if there {
            Verdict::Allowed
        } else {
            Verdict::Unsaid
        };
    }
    let refusal = match Answer::parse(&response.body) {
        Ok(mut answer) => ErrorResponse::from_answer(&mut answer).ok().flatten(),
        Err(_) => page(&String::from_utf8_lossy(&response.body), response.status),
    };
    match refusal {
        Some(refusal) if refusal.refuses_redirect_uri() => Verdict::Refused(Box::new(refusal)),
        _ => Verdict::Unsaid,
    }
}

/// What a page for people says, as an error: Entra's number, or `redirect_uri` on an error page.
fn page(text: &str, status: http::StatusCode) -> Option<ErrorResponse> {
    let numbered = numbered(text);
    let (error, from, at) = match numbered {
        Some(at) => ("invalid_request", at, at),
        None if status.is_client_error() => {
            let at = named(text)?;
            ("invalid_redirect_uri", beginning(text, at), at)
        }
        None => return None,
    };
    let description = sentence(&text[from..], at - from);
    Some(ErrorResponse::from_redirect(error.to_owned(), |name| {
        (name == "error_description").then(|| description.clone())
    }))
}

/// Where a page says `AADSTS` and a number, best with words behind it.
fn numbered(text: &str) -> Option<usize> {
    let worded = |(at, word): &(usize, &str)| {
        let rest = text[at + word.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with(':')
    };
    let numbers = || {
        let found = text.match_indices("AADSTS");
        found.filter(|(at, word)| {
            let next = text[at + word.len()..].bytes().next();
            next.is_some_and(|byte| byte.is_ascii_digit())
        })
    };
    let best = numbers().find(worded).or_else(|| numbers().next());
    best.map(|(at, _)| at)
}

/// Where a page names the parameter, not where it repeats our own request.
fn named(text: &str) -> Option<usize> {
    let mut named = text.match_indices("redirect_uri").filter(|(at, word)| {
        let after = &text[at + word.len()..];
        let before = text.as_bytes()[..*at].last();
        let echoed = after.starts_with('=') || after.starts_with("%3") || before == Some(&b'&');
        !echoed
    });
    named.next().map(|(at, _)| at)
}

/// Where the text in which `at` lies begins: after markup, a quote or a line's end.
fn beginning(text: &str, at: usize) -> usize {
    let before = &text[..at];
    let from = before.rfind(['>', '"', '\n']).map_or(0, |found| found + 1);
    if at - from <= LONGEST { from } else { at }
}

/// The text up to markup, a quote or a line's end, those of scripts included.
fn sentence(text: &str, at_least: usize) -> String {
    let rest = &text[at_least..];
    let end = rest.find(['<', '"', '\n', '\r']);
    let end = end
        .into_iter()
        .chain(rest.find("\\r"))
        .chain(rest.find("\\n"))
        .min();
    let mut end = at_least + end.unwrap_or(rest.len()).min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let plain = text[..end].replace("\\u0027", "'");
    plain.replace("&#39;", "'").trim().to_owned()
}

#[cfg(test)]
mod tests;
