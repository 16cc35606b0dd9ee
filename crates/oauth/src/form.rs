//! `application/x-www-form-urlencoded` bodies (RFC 6749 Appendix B), which carry secrets.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::transport::HttpRequest;

/// A form under construction: borrowed parameters, each name once.
#[derive(Default)]
pub(crate) struct Form<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Form<'a> {
    /// Adds a parameter. A name that is already there keeps its value: nothing that comes later
    /// (an application's extra parameters) can replace what the protocol needs.
    pub(crate) fn push(&mut self, name: &'a str, value: &'a str) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, value));
        }
    }

    /// Adds a parameter if there is a value.
    pub(crate) fn push_some(&mut self, name: &'a str, value: Option<&'a str>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// The parameters, encoded into one allocation that is wiped when dropped.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Every byte becomes at most three, so the buffer never moves and leaves no copy behind.
        let longest: usize = self
            .0
            .iter()
            .map(|(n, v)| 3 * (n.len() + v.len()) + 2)
            .sum();
        let mut body = Zeroizing::new(Vec::with_capacity(longest));
        for (name, value) in &self.0 {
            if !body.is_empty() {
                body.push(b'&');
            }
            encode_into(&mut body, name);
            body.push(b'=');
            encode_into(&mut body, value);
        }
        body
    }

    /// A POST of this form that asks for JSON.
    pub(crate) fn post(&self, url: &Url) -> HttpRequest {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        HttpRequest {
            method: http::Method::POST,
            url: url.clone(),
            headers,
            body: self.encode(),
        }
    }
}

fn encode_into(body: &mut Vec<u8>, text: &str) {
    for piece in byte_serialize(text.as_bytes()) {
        body.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6749_appendix_b() {
        let mut form = Form::default();
        form.push("v", " %&+\u{a3}\u{20ac}");
        assert_eq!(&form.encode()[..], b"v=+%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn a_parameter_cannot_be_replaced_or_repeated() {
        let mut form = Form::default();
        form.push("client_id", "ours");
        form.push("client_id", "theirs");
        form.push_some("claims", None);
        assert_eq!(&form.encode()[..], b"client_id=ours");
    }

    #[test]
    fn encoding_never_moves_the_buffer() {
        let worst = "\u{20ac}&".repeat(1000);
        let mut form = Form::default();
        form.push("a", &worst);
        form.push("b", &worst);
        let body = form.encode();
        assert!(body.len() <= 2 * (3 * (worst.len() + 1) + 2));
        assert!(body.capacity() >= body.len());
    }
}
