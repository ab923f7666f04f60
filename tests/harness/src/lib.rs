//! Starts servers for tests and runs conversation scripts (`C:`/`S:`) against them.
