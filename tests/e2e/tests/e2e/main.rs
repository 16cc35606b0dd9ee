//! The programs that ship, against real peers: Microsoft's own unmodified client, an OpenID
//! provider nobody of us wrote, the bus itself. One binary, so that one line closes the run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod activation;
mod at_rest;
mod audit;
mod command_line;
mod crash;
mod developer_session;
mod developer_tool;
mod endurance;
mod holder;
mod keyring;
mod leaks;
mod memory;
mod msal_node;
mod msal_node_requests;
mod msal_node_trouble;
mod msal_python;
mod package;
mod policy;
mod protocol;
mod redirect;
mod same_user_thief;
mod system_form;
mod take_over;
mod theft;
mod third_party;
mod tpm;
mod tpm_trouble;
mod typed_interface;
mod vault;
