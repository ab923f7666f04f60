//! Character sets of mail that only the C library converts: which labels mean which of them. The list is closed; a
//! label from a message never reaches the library.

use std::ffi::CStr;

/// Labels, in any case, and the C library's names. Sets that switch between alphabets inside a text are decoded like
/// any other.
const SETS: &[(&str, &CStr)] = &[
    ("armscii-8", c"ARMSCII-8"),
    ("armscii8", c"ARMSCII-8"),
    ("cp037", c"IBM037"),
    ("cp437", c"CP437"),
    ("cp500", c"IBM500"),
    ("cp737", c"CP737"),
    ("cp775", c"CP775"),
    ("cp850", c"CP850"),
    ("cp852", c"CP852"),
    ("cp855", c"CP855"),
    ("cp857", c"CP857"),
    ("cp858", c"CP858"),
    ("cp860", c"CP860"),
    ("cp861", c"CP861"),
    ("cp862", c"CP862"),
    ("cp863", c"CP863"),
    ("cp864", c"CP864"),
    ("cp865", c"CP865"),
    ("cp869", c"CP869"),
    ("cp1125", c"CP1125"),
    ("euc-tw", c"EUC-TW"),
    ("euctw", c"EUC-TW"),
    ("georgian-academy", c"GEORGIAN-ACADEMY"),
    ("georgian-ps", c"GEORGIAN-PS"),
    ("hp-roman8", c"HP-ROMAN8"),
    ("roman8", c"HP-ROMAN8"),
    ("ibm037", c"IBM037"),
    ("ibm437", c"CP437"),
    ("437", c"CP437"),
    ("ibm500", c"IBM500"),
    ("ibm850", c"CP850"),
    ("850", c"CP850"),
    ("ibm852", c"CP852"),
    ("852", c"CP852"),
    ("ibm855", c"CP855"),
    ("ibm857", c"CP857"),
    ("ibm860", c"CP860"),
    ("ibm861", c"CP861"),
    ("ibm862", c"CP862"),
    ("ibm863", c"CP863"),
    ("ibm864", c"CP864"),
    ("ibm865", c"CP865"),
    ("ibm869", c"CP869"),
    ("iso-2022-cn", c"ISO-2022-CN"),
    ("iso-2022-cn-ext", c"ISO-2022-CN-EXT"),
    ("iso-2022-jp-1", c"ISO-2022-JP-2"),
    ("iso-2022-jp-2", c"ISO-2022-JP-2"),
    ("iso-2022-jp-3", c"ISO-2022-JP-3"),
    ("iso-2022-kr", c"ISO-2022-KR"),
    ("csiso2022kr", c"ISO-2022-KR"),
    ("iso-ir-197", c"ISO-IR-197"),
    ("iso-10646-ucs-4", c"UCS-4BE"),
    ("johab", c"JOHAB"),
    ("cp1361", c"JOHAB"),
    ("koi8-t", c"KOI8-T"),
    ("mac-is", c"MAC-IS"),
    ("x-mac-icelandic", c"MAC-IS"),
    ("x-mac-ce", c"MAC-CENTRALEUROPE"),
    ("mac-centraleurope", c"MAC-CENTRALEUROPE"),
    ("tcvn", c"TCVN"),
    ("tcvn5712-1", c"TCVN"),
    ("tscii", c"TSCII"),
    ("ucs-4", c"UCS-4BE"),
    ("utf-32", c"UTF-32"),
    ("utf-32be", c"UTF-32BE"),
    ("utf-32le", c"UTF-32LE"),
    ("viscii", c"VISCII"),
];

/// What the C library calls the set with this label; `None` if it is not one of the list.
#[must_use]
pub(super) fn name_of(label: &[u8]) -> Option<&'static CStr> {
    SETS.iter()
        .find(|(known, _)| label.eq_ignore_ascii_case(known.as_bytes()))
        .map(|(_, name)| *name)
}
