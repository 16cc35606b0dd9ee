//! A server that says exactly what a test wants it to say.

// Each test file uses its own part.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A listener on loopback; every request it read can be received.
pub struct Server {
    pub address: SocketAddr,
    pub requests: Receiver<String>,
}

impl Server {
    /// Answers every connection's first request by what `answer` writes, then closes it.
    pub fn start(answer: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                if sender.send(request).is_err() {
                    return;
                }
                answer(&mut stream);
            }
        });
        Self { address, requests }
    }

    /// Answers every request by this text.
    pub fn saying(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        // The client may hang up before the end; that is what some tests are about.
        Self::start(move |stream| drop(stream.write_all(&text)))
    }

    pub fn url(&self, path: &str) -> url::Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }
}

/// Reads one request and answers it.
pub fn answer_one(stream: &mut (impl Read + Write), answer: &[u8]) -> std::io::Result<()> {
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.write_all(answer)
}

/// Head and body, as far as `Content-Length` says.
fn read_request(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    text.extend(body);
    String::from_utf8(text).unwrap()
}
