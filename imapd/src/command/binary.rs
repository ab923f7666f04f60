//! FETCH BINARY and BINARY.SIZE (RFC 3516): a part without its content transfer encoding.
//!
//! A part is decoded once to learn its size, which stands before its octets; what is small is kept from that, what is
//! large is decoded again while it is sent. Memory does not grow with the part.

use std::io;

use courier::mime::decode::Decoder;
use courier::mime::{Found, Kind, Piece};

use crate::account::Counters;
use crate::content::Content;
use crate::grammar::fetch::{FetchItem, Partial};
use crate::writer::Writer;

/// Decoded octets of one message that are kept between their measuring and their sending.
const KEPT_MAX: usize = 256 * 1024;

/// A decoded part of which everything is known that must be said before its octets.
pub(super) struct Decoded<'a> {
    part: &'a [u32],
    /// The part, and its encoding; `None` if there is no such part.
    source: Option<Source>,
    /// The size alone is asked for.
    size_only: bool,
    partial: Option<Partial>,
    octets: u64,
    has_nul: bool,
    kept: Option<Vec<u8>>,
}

/// The message has a part, asked for, whose encoding is not known.
pub(super) struct UnknownEncoding;

/// A part and its encoding.
type Source = (Piece, Vec<u8>);

/// What each of the items needs, in their order: `None` for items that are not about decoded parts.
pub(super) type Prepared<'a> = Vec<Option<Decoded<'a>>>;

/// Whether the item is one of RFC 3516.
pub(super) fn concerns(item: &FetchItem) -> bool {
    matches!(
        item,
        FetchItem::Binary { .. } | FetchItem::BinarySize { .. }
    )
}

/// Finds and decodes what the items ask for.
///
/// # Errors
/// The message cannot be read.
pub(super) fn prepare<'a>(
    items: &[&'a FetchItem],
    content: &mut Content,
) -> io::Result<Result<Prepared<'a>, UnknownEncoding>> {
    if !items.iter().any(|item| concerns(item)) {
        return Ok(Ok(Vec::new()));
    }
    let mut prepared = Vec::with_capacity(items.len());
    let mut budget = KEPT_MAX;
    for item in items {
        let (part, partial, size_only) = match item {
            FetchItem::Binary { part, partial, .. } => (part, *partial, false),
            FetchItem::BinarySize { part } => (part, None, true),
            _ => {
                prepared.push(None);
                continue;
            }
        };
        let Ok(source) = source(content, part)? else {
            return Ok(Err(UnknownEncoding));
        };
        let mut decoded = Decoded {
            part,
            source,
            size_only,
            partial,
            octets: 0,
            has_nul: false,
            kept: None,
        };
        decoded.measure(content, &mut budget)?;
        prepared.push(Some(decoded));
    }
    Ok(Ok(prepared))
}

/// The part that numbers name, with its encoding.
fn source(
    content: &mut Content,
    part: &[u32],
) -> io::Result<Result<Option<Source>, UnknownEncoding>> {
    let tree = content.tree()?;
    let Some(Found::Part(found) | Found::OnlyPart(found)) = tree.find(part) else {
        return Ok(Ok(None));
    };
    if part.is_empty() {
        // The message as a whole is not encoded.
        return Ok(Ok(Some((found.whole(), Vec::new()))));
    }
    if found.kind() != Kind::Leaf {
        // What contains parts cannot be encoded itself (RFC 2045 section 6.4).
        return Ok(Ok(Some((found.body(), Vec::new()))));
    }
    let encoding = tree.content(found).encoding;
    let is_known = [
        &b""[..],
        b"7bit",
        b"8bit",
        b"binary",
        b"base64",
        b"quoted-printable",
    ]
    .iter()
    .any(|known| encoding.eq_ignore_ascii_case(known));
    Ok(if is_known {
        Ok(Some((found.body(), encoding)))
    } else {
        Err(UnknownEncoding)
    })
}

impl Decoded<'_> {
    fn measure(&mut self, content: &mut Content, budget: &mut usize) -> io::Result<()> {
        let Some((piece, encoding)) = &self.source else {
            return Ok(());
        };
        let (mut octets, mut has_nul) = (0_u64, false);
        let mut kept = (!self.size_only).then(Vec::new);
        decode(content, *piece, encoding, |bytes| {
            octets += bytes.len() as u64;
            has_nul = has_nul || memchr::memchr(0, bytes).is_some();
            match &mut kept {
                Some(so_far) if so_far.len().saturating_add(bytes.len()) <= *budget => {
                    so_far.extend_from_slice(bytes);
                }
                _ => kept = None,
            }
        })?;
        self.octets = octets;
        self.has_nul = has_nul;
        *budget = budget.saturating_sub(kept.as_ref().map_or(0, Vec::len));
        self.kept = kept;
        Ok(())
    }

    /// Writes the item with its value.
    ///
    /// # Errors
    /// The message cannot be read any more; less than was announced may have been written.
    pub(super) fn put(
        &self,
        out: &mut Writer,
        counters: &mut Counters,
        content: &mut Content,
    ) -> io::Result<()> {
        out.put(if self.size_only {
            b"BINARY.SIZE["
        } else {
            b"BINARY["
        });
        for (index, &number) in self.part.iter().enumerate() {
            if index > 0 {
                out.put(b".");
            }
            out.number(u64::from(number));
        }
        out.put(b"]");
        if self.size_only {
            out.put(b" ");
            out.number(self.octets);
            return Ok(());
        }
        if let Some(partial) = self.partial {
            out.text(format_args!("<{}>", partial.start));
        }
        let Some((piece, encoding)) = &self.source else {
            out.put(b" NIL");
            return Ok(());
        };
        let mut skip = self
            .partial
            .map_or(0, |partial| partial.start)
            .min(self.octets);
        let count = self
            .partial
            .and_then(|partial| partial.count)
            .unwrap_or(u64::MAX);
        let mut left = count.min(self.octets - skip);
        out.put(if self.has_nul { b" ~" } else { b" " });
        out.literal_header(left);
        counters.body = counters.body.saturating_add(left);
        let mut cut = |bytes: &[u8]| {
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= from as u64;
            let bytes = bytes.get(from..).unwrap_or_default();
            let bytes = bytes
                .get(..usize::try_from(left).unwrap_or(usize::MAX))
                .unwrap_or(bytes);
            left -= bytes.len() as u64;
            out.put(bytes);
        };
        match &self.kept {
            Some(kept) => cut(kept),
            None => decode(content, *piece, encoding, cut)?,
        }
        if left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Gives the decoded octets of a piece to `sink`. Lines end in CRLF where they are text.
fn decode(
    content: &mut Content,
    piece: Piece,
    encoding: &[u8],
    mut sink: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut decoder = Decoder::new(encoding);
    let mut out = Vec::new();
    content.served(piece, 0, u64::MAX, |bytes| {
        out.clear();
        decoder.push(bytes, &mut out);
        sink(&out);
    })?;
    out.clear();
    decoder.finish(&mut out);
    sink(&out);
    Ok(())
}
