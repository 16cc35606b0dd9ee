//! `dev.keyward.Broker1`, called as anybody could: dictionaries in, dictionaries out.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use keyward_testkit::bus::{Caller, Destination, Error, OwnedVariant, Variant};
use serde_json::{Map, Value, json};

use crate::stack::{KEYWARD_NAME, Stack};

/// A connection to the typed interface.
pub struct Typed {
    caller: Caller,
    name: Option<&'static str>,
}

/// A D-Bus error of the typed interface.
#[derive(Clone, Debug)]
pub struct TypedError {
    /// The last part of the error's name, such as `InteractionRequired`.
    pub kind: String,
    /// What it says.
    pub message: String,
}

/// What came back.
pub type Reply = Result<Value, TypedError>;

impl Typed {
    /// Connects to keywardd's socket.
    pub fn over_socket(stack: &Stack) -> Self {
        Self::at_socket(&stack.socket()).expect("keywardd listens")
    }

    /// Connects to whoever listens on this socket.
    ///
    /// # Errors
    ///
    /// When nobody does.
    pub fn at_socket(socket: &Path) -> io::Result<Self> {
        let caller = Caller::to_peer(socket)?;
        Ok(Self { caller, name: None })
    }

    /// Connects to the bus.
    pub fn over_bus(stack: &Stack) -> Self {
        let caller = stack.bus.connect();
        Self {
            caller,
            name: Some(KEYWARD_NAME),
        }
    }

    /// Calls a method; the request is a JSON object of texts, numbers and booleans.
    ///
    /// # Errors
    ///
    /// The D-Bus error.
    pub fn ask(&self, method: &str, request: &Value) -> Reply {
        let entries = request.as_object().expect("a request is an object");
        let body: HashMap<&str, Variant<'_>> = entries
            .iter()
            .map(|(key, value)| (key.as_str(), variant(value)))
            .collect();
        self.call(method, &(body,))
    }

    /// Calls a method with any body, well-formed or not.
    ///
    /// # Errors
    ///
    /// The D-Bus error.
    pub fn call<B>(&self, method: &str, body: &B) -> Reply
    where
        B: keyward_testkit::bus::Body,
    {
        let destination = Destination {
            name: self.name,
            path: "/dev/keyward/Broker1",
            interface: "dev.keyward.Broker1",
        };
        let answer = self
            .caller
            .call(destination, method, body)
            .map_err(TypedError::read)?;
        let body = answer.body();
        if body.is_empty() {
            return Ok(json!({}));
        }
        let dict: HashMap<String, OwnedVariant> =
            body.deserialize().expect("an answer is a dictionary");
        let entries = dict
            .into_iter()
            .map(|(key, value)| (key, plain(&value.into())));
        Ok(Value::Object(entries.collect::<Map<_, _>>()))
    }
}

impl TypedError {
    /// Whether the broker says so, and not the transport.
    pub fn is_of_the_broker(&self) -> bool {
        self.kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    fn read(error: Error) -> Self {
        match error {
            Error::MethodError(name, message, _) => Self {
                kind: name
                    .as_str()
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                message: message.unwrap_or_default(),
            },
            other => Self {
                kind: format!("{other:?}"),
                message: other.to_string(),
            },
        }
    }
}

fn variant(value: &Value) -> Variant<'_> {
    match value {
        Value::Bool(flag) => Variant::from(*flag),
        Value::Number(number) => Variant::from(number.as_u64().expect("a whole number")),
        Value::String(text) => Variant::from(text.as_str()),
        other => panic!("no such value in a request: {other}"),
    }
}

fn plain(value: &Variant<'_>) -> Value {
    match value {
        Variant::Str(text) => json!(text.as_str()),
        Variant::Bool(flag) => json!(flag),
        Variant::U64(number) => json!(number),
        Variant::Variant(inner) => plain(inner),
        Variant::Array(array) => array.inner().iter().map(plain).collect(),
        Variant::Dict(dict) => {
            let entries = dict.iter().map(|(key, value)| match key {
                Variant::Str(key) => (key.as_str().to_owned(), plain(value)),
                other => panic!("no such key in an answer: {other:?}"),
            });
            Value::Object(entries.collect())
        }
        other => panic!("no such value in an answer: {other:?}"),
    }
}
