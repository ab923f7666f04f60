//! What stands between authdaemond and the servers that it asks: settings, statements, the helpers' frames.

use authdaemond::backend::sql::clause::{Clause, Dialect, Values};
use authdaemond::backend::sql::settings::Settings;
use authdaemond::pgsql::Conninfo;
use authdaemond::rcfile::RcFile;
use authdaemond::wire::{Decoded, Frame};

const DIALECTS: [Dialect; 3] = [Dialect::Mysql, Dialect::Pgsql, Dialect::Sqlite];

/// authmysqlrc and the like.
pub fn module_settings(input: &[u8]) {
    if let Some(file) = RcFile::parse(input) {
        for dialect in DIALECTS {
            if let Ok(settings) = Settings::new(dialect, &file) {
                assert!(settings.connection.encode().is_ok());
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(conninfo) = Conninfo::parse(text) {
            assert!(conninfo.rest.contains("sslmode="));
            assert!(conninfo.trust.verify || !conninfo.trust.verify_name);
        }
    }
}

/// Statements of the configuration: what users type never becomes a part of them.
pub fn sql_clause(input: &[u8]) {
    let typed = b"typed'\\\"";
    let values = Values {
        login: typed,
        local_part: typed,
        domain: typed,
        service: typed,
        new_password: typed,
        new_hash: typed,
    };
    for dialect in DIALECTS {
        let Ok(clause) = Clause::parse(dialect, input) else {
            continue;
        };
        if let Ok((sql, _)) = clause.fill(dialect, &values) {
            let found = |text: &[u8]| text.windows(typed.len()).any(|part| part == typed);
            assert!(!found(&sql) || found(input));
        }
    }
}

/// Frames between a worker and a helper.
pub fn helper_frame(input: &[u8]) {
    let mut rest = input;
    while let Decoded::Frame(frame, length) = Frame::decode(rest) {
        let bytes = rest.get(..length).unwrap_or_default();
        assert_eq!(frame.encode().as_deref(), Ok(bytes));
        rest = rest.get(length..).unwrap_or_default();
    }
}
