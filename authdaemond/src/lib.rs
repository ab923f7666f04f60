//! The authentication daemon: workers, socket protocol, modules.
