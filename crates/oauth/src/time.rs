//! Points in time as protocols write them.

pub use keyward_jose::time::UnixTime;
