//! Requests about the broker itself: rare, so each is one JSON text in the dictionary.

use keyward_client::manage::{ManageAnswer, ManageRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::WireError;
use super::dict::{Dict, Entries};

pub(crate) fn write_request(request: &ManageRequest) -> Entries<'static> {
    write("request", request)
}

pub(crate) fn read_request(dict: &Dict<'_>) -> Result<ManageRequest, WireError> {
    read("request", dict, "is no request this broker knows")
}

pub(crate) fn write_answer(answer: &ManageAnswer) -> Entries<'static> {
    write("answer", answer)
}

pub(crate) fn read_answer(dict: &Dict<'_>) -> Result<ManageAnswer, WireError> {
    read("answer", dict, "is no answer this program knows")
}

fn write(key: &'static str, value: &impl Serialize) -> Entries<'static> {
    let mut entries = Entries::new();
    // Without it the other side says that it is missing.
    if let Ok(text) = serde_json::to_string(value) {
        entries.owned_text(key, text);
    }
    entries
}

fn read<T: DeserializeOwned>(
    key: &'static str,
    dict: &Dict<'_>,
    unknown: &'static str,
) -> Result<T, WireError> {
    serde_json::from_str(dict.require_text(key)?).map_err(|_| WireError::value(key, unknown))
}
