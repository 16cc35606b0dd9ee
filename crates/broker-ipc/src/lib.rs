//! keyward-broker-ipc
