//! Opening the sockets, on loopback and nowhere else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

/// Opens the sockets: on one address, or on both spellings of loopback, because what resolves
/// `localhost` may try \[::1\] first. Without IPv6, on 127.0.0.1 only.
pub(crate) async fn listen(address: Option<IpAddr>, port: u16) -> io::Result<Vec<TcpListener>> {
    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    const ATTEMPTS: usize = 16;
    match address {
        Some(address) if address == V4 || address == V6 => {
            return Ok(vec![TcpListener::bind((address, port)).await?]);
        }
        Some(_) => {
            let why = "the development authority listens on 127.0.0.1 and [::1] only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        None => {}
    }
    for _ in 0..ATTEMPTS {
        let v4 = TcpListener::bind((V4, port)).await?;
        match TcpListener::bind((V6, v4.local_addr()?.port())).await {
            Ok(v6) => return Ok(vec![v4, v6]),
            // Somebody else's: whoever means us by `localhost` might reach them.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => return Ok(vec![v4]),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no port is free on both 127.0.0.1 and [::1]",
    ))
}
