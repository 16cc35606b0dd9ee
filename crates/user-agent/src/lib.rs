//! keyward-user-agent
