//! Reading one HTTP request on the loopback listener, with every bound a stranger needs.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use url::Url;
use zeroize::Zeroizing;

/// The longest request head, in bytes. Codes of some authorities fill several kilobytes.
const LONGEST_HEAD: usize = 32 * 1024;
/// The longest body of a form post, in bytes.
const LONGEST_BODY: usize = 64 * 1024;
const MOST_HEADERS: usize = 64;

/// What a request on the listener is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The redirect, with the answer's parameters in its query.
    Redirect(Url),
    /// Anything else: a favicon, a curious neighbour.
    Other,
}

/// The redirect that is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    pub(crate) redirect_uri: Url,
    /// `state` of the authorize request. Any page in a browser can send a code to a loopback port;
    /// one that does not know the state must not use up the listener (RFC 8252 §8.9).
    pub(crate) state: Option<String>,
}

impl Awaited {
    /// Whether these are the parameters of an answer, and to this request.
    fn is_answered_by(&self, url: &Url) -> bool {
        let parameter = |wanted: &str| {
            url.query_pairs()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value)
        };
        match (&self.state, parameter("state")) {
            (Some(expected), Some(state)) if *expected != state => false,
            // Not every authority repeats the state in an error, which is no use to a stranger.
            (Some(_), None) => parameter("error").is_some(),
            _ => parameter("code").is_some() || parameter("error").is_some(),
        }
    }
}

/// Reads one request and compares it with the redirect that is waited for.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    awaited: &Awaited,
) -> io::Result<Incoming> {
    let (head, body) = receive(stream).await?;
    Ok(head.classify(awaited, &body))
}

/// What a page of ours gets, or sends with its form.
pub(crate) enum Page {
    /// To be shown.
    Get,
    /// Filled in; the form's bytes may hold a secret.
    Post(Zeroizing<Vec<u8>>),
}

/// Reads one request for the page at this address. `None`: it is for something else, or comes from
/// a page that is not ours.
pub(crate) async fn read_for_page(
    stream: &mut (impl AsyncRead + Unpin),
    address: &Url,
) -> io::Result<Option<Page>> {
    let (head, body) = receive(stream).await?;
    // A page of another origin that was rebound to this address still sends its own name.
    if head.host != authority_of(address) || head.target != address.path() {
        return Ok(None);
    }
    if !head.post {
        return Ok(Some(Page::Get));
    }
    let ours = address.origin().ascii_serialization();
    let from_us = head.origin.is_none_or(|origin| origin == ours);
    Ok(from_us.then_some(Page::Post(body)))
}

/// Reads one request whole.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Head, Zeroizing<Vec<u8>>)> {
    // One piece of memory for as much as there may be: what grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_HEAD + LONGEST_BODY + 1));
    let head = loop {
        if let Some(head) = Head::parse(&bytes)? {
            if head.length > LONGEST_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            break head;
        }
        if bytes.len() > LONGEST_HEAD || stream.read_buf(&mut *bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let body_start = head.length;
    while bytes.len() < body_start + head.body {
        if stream.read_buf(&mut *bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = Zeroizing::new(bytes[body_start..body_start + head.body].to_vec());
    Ok((head, body))
}

/// The parts of a request head that matter.
struct Head {
    length: usize,
    post: bool,
    target: String,
    host: String,
    /// Whose page sent it, where a browser says so.
    origin: Option<String>,
    body: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(bytes).map_err(|_| malformed())?
        else {
            return Ok(None);
        };
        let post = match request.method {
            Some("GET") => false,
            Some("POST") => true,
            _ => return Err(malformed()),
        };
        let target = request.path.unwrap_or_default().to_owned();
        let field = |name: &str| {
            request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .and_then(|header| str::from_utf8(header.value).ok())
        };
        let body = match field("content-length").filter(|_| post) {
            None => 0,
            Some(length) => length.trim().parse().map_err(|_| malformed())?,
        };
        if body > LONGEST_BODY {
            return Err(malformed());
        }
        let host = field("host").unwrap_or_default().to_ascii_lowercase();
        let origin = field("origin").map(str::to_owned);
        Ok(Some(Self {
            length,
            post,
            target,
            host,
            origin,
            body,
        }))
    }

    fn classify(&self, awaited: &Awaited, body: &[u8]) -> Incoming {
        let redirect_uri = &awaited.redirect_uri;
        // A page of another origin that was rebound to this address still sends its own name.
        if self.host != authority_of(redirect_uri) || !self.target.starts_with('/') {
            return Incoming::Other;
        }
        let Ok(mut url) = redirect_uri.join(&self.target) else {
            return Incoming::Other;
        };
        if self.post {
            // `response_mode=form_post`: the same parameters, in the body.
            url.set_query(str::from_utf8(body).ok());
        }
        let here = url.path() == redirect_uri.path() && url.host() == redirect_uri.host();
        if here && awaited.is_answered_by(&url) {
            Incoming::Redirect(url)
        } else {
            Incoming::Other
        }
    }
}

fn authority_of(uri: &Url) -> String {
    match (uri.host_str(), uri.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn incoming(text: &str) -> io::Result<Incoming> {
        incoming_for(None, text).await
    }

    async fn incoming_for(state: Option<&str>, text: &str) -> io::Result<Incoming> {
        let awaited = Awaited {
            redirect_uri: Url::parse("http://localhost:4711/back").unwrap(),
            state: state.map(str::to_owned),
        };
        read(&mut text.as_bytes(), &awaited).await
    }

    #[tokio::test]
    async fn an_answer_to_another_request_does_not_count() {
        for (query, counts) in [
            ("code=c&state=s", true),
            ("error=access_denied&state=s", true),
            ("error=server_error", true),
            ("code=c&state=t", false),
            ("error=access_denied&state=t", false),
            ("code=c", false),
            ("state=s", false),
        ] {
            let text = format!("GET /back?{query} HTTP/1.1\r\nHost: localhost:4711\r\n\r\n");
            let incoming = incoming_for(Some("s"), &text).await.unwrap();
            assert_eq!(matches!(incoming, Incoming::Redirect(_)), counts, "{query}");
        }
    }

    #[tokio::test]
    async fn the_answer_of_the_authority_is_the_redirect() {
        let get = "GET /back?code=c&state=s HTTP/1.1\r\nHost: localhost:4711\r\n\r\n";
        let url = Url::parse("http://localhost:4711/back?code=c&state=s").unwrap();
        assert_eq!(
            incoming(get).await.unwrap(),
            Incoming::Redirect(url.clone())
        );
        let post = "POST /back HTTP/1.1\r\nHost: localhost:4711\r\nContent-Length: 14\r\n\r\n\
            code=c&state=s";
        assert_eq!(incoming(post).await.unwrap(), Incoming::Redirect(url));
        let refused = "GET /back?error=access_denied HTTP/1.1\r\nhost: LOCALHOST:4711\r\n\r\n";
        assert!(matches!(
            incoming(refused).await.unwrap(),
            Incoming::Redirect(_)
        ));
    }

    #[tokio::test]
    async fn anything_else_is_not() {
        for text in [
            "GET /favicon.ico HTTP/1.1\r\nHost: localhost:4711\r\n\r\n",
            "GET /back HTTP/1.1\r\nHost: localhost:4711\r\n\r\n",
            "GET /back?code=c HTTP/1.1\r\nHost: evil.example:4711\r\n\r\n",
            "GET /back?code=c HTTP/1.1\r\n\r\n",
            "GET //evil.example/back?code=c HTTP/1.1\r\nHost: localhost:4711\r\n\r\n",
            "GET http://evil.example/back?code=c HTTP/1.1\r\nHost: localhost:4711\r\n\r\n",
        ] {
            assert_eq!(incoming(text).await.unwrap(), Incoming::Other, "{text}");
        }
    }

    #[tokio::test]
    async fn malformed_and_oversized_requests_are_errors() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 * LONGEST_HEAD));
        for text in [
            "\0\0\0\r\n\r\n",
            "DELETE /back?code=c HTTP/1.1\r\nHost: localhost:4711\r\n\r\n",
            "POST /back HTTP/1.1\r\nHost: localhost:4711\r\nContent-Length: 99999999\r\n\r\n",
            "POST /back HTTP/1.1\r\nHost: localhost:4711\r\nContent-Length: 10\r\n\r\nshort",
            "GET /back?code=c HTTP/1.1\r\nHost: localhost:4711",
            &long,
        ] {
            assert!(incoming(text).await.is_err());
        }
    }
}
