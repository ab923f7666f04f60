//! The Maildir++ store. Knows files, names and UIDs; knows neither MIME nor IMAP.
