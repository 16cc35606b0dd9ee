//! Reading one HTTP request on the loopback listener, with every bound a stranger needs.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use url::Url;

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

/// Reads one request and compares it with the redirect URI.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    redirect_uri: &Url,
) -> io::Result<Incoming> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(head) = Head::parse(&bytes)? {
            break head;
        }
        if bytes.len() > LONGEST_HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let body_start = head.length;
    while bytes.len() < body_start + head.body {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head.classify(redirect_uri, &bytes[body_start..body_start + head.body]))
}

/// The parts of a request head that matter.
struct Head {
    length: usize,
    post: bool,
    target: String,
    host: String,
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
        Ok(Some(Self {
            length,
            post,
            target,
            host,
            body,
        }))
    }

    fn classify(&self, redirect_uri: &Url, body: &[u8]) -> Incoming {
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
        let answers = |name: &str| matches!(name, "code" | "error");
        let answered = url.query_pairs().any(|(name, _)| answers(&name));
        if url.path() == redirect_uri.path() && url.host() == redirect_uri.host() && answered {
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
        let uri = Url::parse("http://localhost:4711/back").unwrap();
        read(&mut text.as_bytes(), &uri).await
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
