//! Plain HTTP/1.1 to a server on this machine: one request, one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body as JSON. Panics when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.body))
    }

    /// The first header field of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }
}

/// Sends a GET request.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn get(url: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    send("GET", url, headers, None)
}

/// Sends a POST request with a JSON body.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn post_json(
    url: &str,
    headers: &[(&str, &str)],
    body: &serde_json::Value,
) -> io::Result<Response> {
    let body = ("application/json", body.to_string());
    send("POST", url, headers, Some((body.0, &body.1)))
}

/// Sends a POST request with a form.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn post_form(url: &str, headers: &[(&str, &str)], form: &str) -> io::Result<Response> {
    send(
        "POST",
        url,
        headers,
        Some(("application/x-www-form-urlencoded", form)),
    )
}

/// Sends one request; the body goes with its media type.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<(&str, &str)>,
) -> io::Result<Response> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| invalid("not http"))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    let (media, body) = body.unwrap_or_default();
    if !media.is_empty() {
        let length = body.len().to_string();
        request.extend(["Content-Type: ", media, "\r\n"]);
        request.extend(["Content-Length: ", &length, "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| invalid("the answer is no HTTP"))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked {
        dechunk(body)?
    } else {
        body.to_owned()
    };
    Some(Response {
        status,
        headers,
        body,
    })
}

/// RFC 9112 §7.1.
fn dechunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_read_whole() {
        let answer =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: PoP nonce=\"n\"\r\n\r\n{\"a\":1}";
        let response = parse(answer).unwrap();
        assert_eq!(response.status, 401);
        assert_eq!(response.header("www-authenticate"), Some("PoP nonce=\"n\""));
        assert_eq!(response.json()["a"], 1);
    }

    #[test]
    fn a_chunked_answer_is_put_together() {
        let answer =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(answer).unwrap().body, "abcde");
    }

    #[test]
    fn a_request_carries_its_headers_and_its_body() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 4096];
            let read = stream.read(&mut seen).unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&seen[..read]).into_owned()
        });
        let body = serde_json::json!({"fault": "slow"});
        let response = post_json(&url, &[("X-Admin", "yes")], &body).unwrap();
        assert_eq!(response.status, 204);
        let seen = server.join().unwrap();
        assert!(seen.starts_with("POST /path HTTP/1.1\r\n"), "{seen:?}");
        assert!(seen.contains("\r\nX-Admin: yes\r\n"), "{seen:?}");
        assert!(seen.ends_with("\r\n\r\n{\"fault\":\"slow\"}"), "{seen:?}");
    }
}
