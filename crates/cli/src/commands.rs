//! One module per command.

pub mod accounts;
pub mod apps;
pub mod audit;
pub mod config_check;
pub mod device;
pub mod login;
pub mod logout;
pub mod manual;
pub mod migrate;
pub mod status;
pub mod token;
pub mod vault;
