//! Data items of FETCH that come from a message's file, written as they are made.

use std::io;
use std::time::SystemTime;

use courier::mime::structure::{self, Text};
use courier::sys::localtime;
use courier::text::date;

use super::fetch::unix_seconds;
use crate::account::Counters;
use crate::content::Content;
use crate::grammar::fetch::{FetchItem, Partial, Section, SectionText};
use crate::section::Extract;
use crate::writer::Writer;

/// Writes an item that comes from the file; false if it is none. `backslashes`: parameters of BODYSTRUCTURE may have them.
pub(super) fn put_content_item(
    out: &mut Writer,
    counters: &mut Counters,
    text: Text,
    backslashes: bool,
    item: &FetchItem,
    content: &mut Content,
    internal_date: SystemTime,
) -> io::Result<bool> {
    const WHOLE: Section = Section {
        part: Vec::new(),
        text: None,
    };
    let mut buffer = Vec::new();
    match item {
        FetchItem::Flags
        | FetchItem::Uid
        | FetchItem::Binary { .. }
        | FetchItem::BinarySize { .. } => return Ok(false),
        FetchItem::InternalDate => put_internal_date(out, internal_date),
        FetchItem::Rfc822Size => {
            out.put(b"RFC822.SIZE ");
            out.number(content.octets()?);
        }
        FetchItem::Envelope => {
            let tree = content.head()?;
            buffer.extend_from_slice(b"ENVELOPE ");
            structure::envelope(tree, tree.root(), text, &mut buffer);
        }
        FetchItem::Body | FetchItem::BodyStructure => {
            let extended = matches!(item, FetchItem::BodyStructure);
            buffer.extend_from_slice(if extended {
                b"BODYSTRUCTURE "
            } else {
                b"BODY "
            });
            let tree = content.tree()?;
            if backslashes {
                structure::body(tree, extended, text, &mut buffer);
            } else {
                structure::body_without_backslashes(tree, extended, text, &mut buffer);
            }
        }
        FetchItem::Section {
            section, partial, ..
        } => {
            buffer.extend_from_slice(b"BODY");
            section.encode(&mut buffer);
            if let Some(partial) = partial {
                buffer.extend_from_slice(format!("<{}>", partial.start).as_bytes());
            }
            put_section(out, counters, content, &buffer, section, *partial)?;
            buffer.clear();
        }
        FetchItem::Rfc822 => put_section(out, counters, content, b"RFC822", &WHOLE, None)?,
        FetchItem::Rfc822Header => {
            let section = Section {
                text: Some(SectionText::Header),
                ..WHOLE
            };
            put_section(out, counters, content, b"RFC822.HEADER", &section, None)?;
        }
        FetchItem::Rfc822Text => {
            let section = Section {
                text: Some(SectionText::Text),
                ..WHOLE
            };
            put_section(out, counters, content, b"RFC822.TEXT", &section, None)?;
        }
    }
    out.put(&buffer);
    Ok(true)
}

pub(super) fn put_internal_date(out: &mut Writer, time: SystemTime) {
    let unix = unix_seconds(time);
    out.text(format_args!(
        "INTERNALDATE \"{}\"",
        date::format_imap(unix, localtime::offset_minutes(unix))
    ));
}

/// Writes a section as a literal.
fn put_section(
    out: &mut Writer,
    counters: &mut Counters,
    content: &mut Content,
    label: &[u8],
    section: &Section,
    partial: Option<Partial>,
) -> io::Result<()> {
    let target = if section.is_own_header() {
        section.locate_in_own(content.header()?)
    } else {
        section.locate(content.tree()?)
    };
    let extract = Extract::prepare(content, target, partial)?;
    out.put(label);
    out.put(b" ");
    out.literal_header(extract.octets());
    let mut fetched = 0_u64;
    extract.send(content, |bytes| {
        fetched += (bytes.len() - memchr::memchr_iter(b'\n', bytes).count()) as u64;
        out.put(bytes);
    })?;
    if section.is_header() {
        counters.headers = counters.headers.saturating_add(fetched);
    } else {
        counters.body = counters.body.saturating_add(fetched);
    }
    Ok(())
}
