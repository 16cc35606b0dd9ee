//! Signing a person in: the pages behind the authorize endpoints of both tenants and behind
//! `/devicelogin`.
//!
//! A *sitting* is one attempt: what was asked for ([`ask`]), by which browser, and how far the
//! person has come. [`steps`] decides what is next, and nothing else does; [`pages`](crate::pages)
//! says how it looks; [`answer`] takes in what the person sent; [`finish`] sends the browser back
//! to the client, or lets the device in.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod browsers;
pub(crate) mod finish;
pub(crate) mod problem;
pub(crate) mod prompt;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod show;
pub(crate) mod sitting;
pub(crate) mod start;
pub(crate) mod steps;
