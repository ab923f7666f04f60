//! What imaplogin and pop3login share: the monitor, the unprivileged parser process, the hand-over.
