//! Answers the method calls of one connection.
//!
//! One task per connection holds everything that is being done for it: when the connection
//! closes, the task ends, and with it every request. A request's reply is sent as part of the
//! request, so a peer that does not read its answers cannot pile them up: after
//! [`Handler::capacity`] of them nothing more is read from it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use zbus::message::{Flags, Header, Message, Type};
use zbus::{Connection, MessageStream};

use keyward_client::error::{AcquireTokenError, ErrorKind};

use crate::guard::MARKER;
use crate::wire;

const PEER: &str = "org.freedesktop.DBus.Peer";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

/// Somebody who answers the calls of one connection.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The reply to a call, a method return or an error.
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, zbus::Result<Message>>;

    /// A signal was received.
    fn signal(&self, _signal: &Message) {}

    /// The objects here, each with its introspection data.
    fn objects(&self) -> &'static [(&'static str, &'static str)];

    /// Whether the calls that came before the connection ended are still to be answered: it was
    /// ended at this end, for reading only.
    fn finishes(&self) -> bool {
        false
    }

    /// How many calls may be worked on, or wait for the peer to read their replies, before nothing
    /// more is read. More than the limit of requests, so that there is room to refuse and cancel.
    fn capacity(&self) -> usize;
}

/// A method call that was received.
#[derive(Clone, Debug)]
pub(crate) struct Call(Message);

impl Call {
    pub(crate) fn new(message: Message) -> Self {
        Self(message)
    }

    pub(crate) fn header(&self) -> Header<'_> {
        self.0.header()
    }

    pub(crate) fn message(&self) -> &Message {
        &self.0
    }

    /// Bytes of the whole call.
    pub(crate) fn size(&self) -> usize {
        self.0.data().len()
    }

    /// Whether the payload was too large and has been dropped on arrival.
    pub(crate) fn is_too_large(&self) -> bool {
        let body = self.0.body();
        // Only the marker's own length: this runs on every call that was not understood.
        body.len() == MARKER.len() + 5
            && body.deserialize::<&str>().is_ok_and(|text| text == MARKER)
    }

    /// A successful reply.
    pub(crate) fn reply<B>(&self, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        Message::method_return(&self.header()).build(body)
    }

    /// A reply that is one of our errors.
    pub(crate) fn fail(&self, error: &AcquireTokenError) -> zbus::Result<Message> {
        Message::error(&self.header(), wire::error::name(error.kind()))
            .build(&wire::error::write(error))
    }

    /// A reply that is an error of D-Bus itself, such as `UnknownMethod`.
    pub(crate) fn fail_standard(&self, name: &str, text: &str) -> zbus::Result<Message> {
        let name = format!("org.freedesktop.DBus.Error.{name}");
        Message::error(&self.header(), name).build(&text)
    }

    /// The reply to a method that does not exist.
    pub(crate) fn unknown_method(&self) -> zbus::Result<Message> {
        self.fail_standard("UnknownMethod", "there is no such method")
    }
}

/// Answers calls until the connection closes or breaks.
pub(crate) async fn run<H: Handler>(mut incoming: MessageStream, handler: Arc<H>) {
    let connection = Connection::from(&incoming);
    let capacity = handler.capacity();
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(sent) = in_flight.next(), if !in_flight.is_empty() => {
                if let Err(error) = sent {
                    tracing::debug!(%error, "a connection does not take its answers");
                    return;
                }
            }
            message = incoming.next(), if in_flight.len() < capacity => match message {
                Some(Ok(message)) => match message.message_type() {
                    Type::MethodCall => {
                        in_flight.push(answer(&connection, &handler, Call::new(message)));
                    }
                    Type::Signal => handler.signal(&message),
                    Type::MethodReturn | Type::Error => {}
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection ended");
                    break;
                }
                None => break,
            }
        }
    }
    while handler.finishes() && in_flight.next().await.is_some() {}
}

/// Answers one call, whatever happens.
fn answer<H: Handler>(
    connection: &Connection,
    handler: &Arc<H>,
    call: Call,
) -> BoxFuture<'static, zbus::Result<()>> {
    let (connection, handler) = (connection.clone(), Arc::clone(handler));
    Box::pin(async move {
        let reply = if let Some(reply) = standard(&*handler, &call) {
            reply
        } else {
            let working = AssertUnwindSafe(handler.call(call.clone()));
            working.catch_unwind().await.unwrap_or_else(|_| {
                call.fail(&AcquireTokenError::new(
                    ErrorKind::Unexpected,
                    "the broker made a mistake on this request; its log says more",
                ))
            })
        };
        let flags = call.message().primary_header().flags();
        if flags.contains(Flags::NO_REPLY_EXPECTED) {
            return Ok(());
        }
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => call.fail_standard("Failed", &error.to_string())?,
        };
        connection.send(&reply).await
    })
}

/// The interfaces every object has.
fn standard<H: Handler>(handler: &H, call: &Call) -> Option<zbus::Result<Message>> {
    let header = call.header();
    let interface = header.interface()?.as_str();
    let member = header.member()?.as_str();
    match (interface, member) {
        (PEER, "Ping") => Some(call.reply(&())),
        (PEER, "GetMachineId") => Some(match machine_id() {
            Some(id) => call.reply(&id),
            None => call.fail_standard("Failed", "this machine has no id"),
        }),
        (INTROSPECTABLE, "Introspect") => {
            let path = header.path()?.as_str();
            let objects = handler.objects();
            Some(match objects.iter().find(|(object, _)| *object == path) {
                Some((_, xml)) => call.reply(xml),
                None => call.reply(&parent_of(objects, path)),
            })
        }
        (PEER | INTROSPECTABLE, _) => Some(call.unknown_method()),
        _ => None,
    }
}

/// Introspection data of a path on the way to our objects, so that `busctl tree` finds them.
fn parent_of(objects: &[(&str, &str)], path: &str) -> String {
    let mut children = Vec::new();
    for (object, _) in objects {
        let below = if path == "/" {
            object.strip_prefix('/')
        } else {
            object
                .strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('/'))
        };
        let child = below.and_then(|below| below.split('/').next());
        if let Some(child) = child
            && !children.contains(&child)
        {
            children.push(child);
        }
    }
    let mut xml = String::from("<node>\n");
    for child in children {
        xml.push_str("  <node name=\"");
        xml.push_str(child);
        xml.push_str("\"/>\n");
    }
    xml.push_str("</node>\n");
    xml
}

fn machine_id() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
}
