//! Somebody else's broker: `com.microsoft.identity.broker1` on a bus, owned by a program of the
//! test, with answers the test writes.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use tokio::runtime::Runtime;
use zbus::message::Type;
use zbus::{Connection, MessageStream};

use crate::bus::SessionBus;

/// Its name on the bus.
const NAME: &str = "com.microsoft.identity.broker1";

/// A broker that answers every call with a text. Gone from the bus when dropped.
pub struct OtherBroker {
    asked: Arc<Mutex<Vec<String>>>,
    _connection: Connection,
    _runtime: Runtime,
}

impl OtherBroker {
    /// Takes the name; `answer` says what each method answers.
    pub fn start(
        bus: &SessionBus,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let builder = zbus::connection::Builder::address(bus.address());
        let connection = runtime.block_on(builder.build()).expect("the bus accepts");
        let calls = MessageStream::from(&connection);
        let serving = serve(connection.clone(), calls, Arc::clone(&asked), answer);
        runtime.spawn(serving);
        runtime
            .block_on(connection.request_name(NAME))
            .expect("the name is free");
        Self {
            asked,
            _connection: connection,
            _runtime: runtime,
        }
    }

    /// The methods called so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    connection: Connection,
    mut calls: MessageStream,
    asked: Arc<Mutex<Vec<String>>>,
    answer: impl Fn(&str) -> String,
) {
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        let Some(member) = header
            .member()
            .filter(|_| call.message_type() == Type::MethodCall)
        else {
            continue;
        };
        asked.lock().unwrap().push(member.to_string());
        let replied = if member.as_str() == "Ping" {
            connection.reply(&header, &()).await
        } else {
            connection.reply(&header, &answer(member)).await
        };
        if replied.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Login;
    use crate::bus::Destination;

    #[test]
    fn it_answers_as_the_test_says() {
        let login = Login::new();
        let bus = SessionBus::start(&login, &[]);
        let broker = OtherBroker::start(&bus, |method| format!("{{\"asked\":\"{method}\"}}"));
        let to = Destination {
            name: Some(NAME),
            path: "/com/microsoft/identity/broker1",
            interface: "com.microsoft.identity.Broker1",
        };
        let answer = bus.connect().call(to, "getAccounts", &("0.0", "id", "{}"));
        let answer: String = answer.unwrap().body().deserialize().unwrap();
        assert_eq!(answer, "{\"asked\":\"getAccounts\"}");
        assert_eq!(broker.asked(), ["getAccounts"]);
    }
}
