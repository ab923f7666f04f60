//! Safe access to GDBM files.
