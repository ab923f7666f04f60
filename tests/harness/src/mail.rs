//! Realistic messages from a seed: the same seed gives the same messages everywhere.
//!
//! Plain and multipart, attachments, HTML alternatives, forwarded messages, several charsets, encodings and scripts,
//! folded and encoded headers, replies that thread.

use base64::Engine;

/// A small deterministic generator (splitmix64); good enough to vary test data, and the same on every platform.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// Starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % limit).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let index = self.below(from.len());
        from.get(index).copied().unwrap_or_default()
    }
}

const WORDS: [&str; 48] = [
    "invoice", "meeting", "the", "garden", "of", "delivery", "a", "report", "quarter", "when",
    "train", "and", "station", "music", "to", "window", "paper", "is", "question", "answer",
    "schedule", "for", "river", "bridge", "we", "have", "version", "server", "that", "update",
    "holiday", "photo", "kitchen", "market", "it", "price", "number", "not", "language", "teacher",
    "morning", "from", "evening", "letter", "on", "project", "budget", "with",
];

const PEOPLE: [(&str, &str); 8] = [
    ("Ann Lee", "ann.lee@example.net"),
    ("=?utf-8?Q?J=C3=B6rg_M=C3=BCller?=", "joerg@example.de"),
    ("\"Doe, Jane\"", "jane.doe@example.com"),
    ("=?iso-8859-1?Q?Andr=E9?= Martin", "andre@example.fr"),
    ("=?utf-8?B?5bGx55Sw5aSq6YOO?=", "yamada@example.jp"),
    ("=?koi8-r?B?6dfBziDwxdTSz9c=?=", "ivan@example.org"),
    ("", "robot@lists.example.org"),
    ("Support (Team 2)", "support@example.com"),
];

const SCRIPTS: [&str; 5] = [
    "Grüße aus München, der Käse ist schön.\n",
    "Привет, как дела? Встреча завтра в девять.\n",
    "会議は明日の午前九時からです。よろしくお願いします。\n",
    "Ça va très bien, merci; à bientôt à l'hôtel.\n",
    "Καλημέρα, το πακέτο έφτασε χθες.\n",
];

/// The `index`-th message of `seed`, about `size` bytes, with CRLF line ends.
pub fn message(seed: u64, index: u64, size: usize) -> Vec<u8> {
    let mut random = Seed::new(seed ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut text = headers(&mut random, seed, index);
    match random.below(10) {
        0..=3 => plain(&mut text, &mut random, size),
        4 | 5 => alternative(&mut text, &mut random, size),
        6 | 7 => attachment(&mut text, &mut random, size),
        8 => encoded(&mut text, &mut random, size),
        _ => forwarded(&mut text, &mut random, size),
    }
    crate::account::wire_form(text.as_bytes())
}

fn address(random: &mut Seed) -> String {
    let index = random.below(PEOPLE.len());
    let (name, address) = PEOPLE.get(index).copied().unwrap_or_default();
    if name.is_empty() {
        address.to_owned()
    } else {
        format!("{name} <{address}>")
    }
}

fn subject(random: &mut Seed) -> String {
    match random.below(6) {
        0 => "=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=".to_owned(),
        1 => "=?utf-8?B?5Lya6K2w44Gu44GK55+l44KJ44Gb?=".to_owned(),
        2 => format!("Re: {}", sentence(random, 4)),
        3 => format!("{}\n {}", sentence(random, 8), sentence(random, 6)),
        _ => sentence(random, 5),
    }
}

fn sentence(random: &mut Seed, words: usize) -> String {
    let mut text = String::new();
    for index in 0..words {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(random.pick(&WORDS));
    }
    text
}

fn paragraphs(random: &mut Seed, size: usize) -> String {
    let mut text = String::with_capacity(size + 80);
    while text.len() < size {
        let words = 6 + random.below(8);
        text.push_str(&sentence(random, words));
        text.push_str(if random.below(6) == 0 { ".\n\n" } else { "\n" });
    }
    text
}

fn headers(random: &mut Seed, seed: u64, index: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let from = address(random);
    let to = address(random);
    let id = format!("<{seed:x}.{index}@mail.example.net>");
    let mut text = format!(
        "Return-Path: <bounce-{index}@example.net>\n\
         Received: from mx{}.example.net (mx.example.net [192.0.2.{}])\n\tby mail.example.org with ESMTPS id {:08x};\n\
         \tMon, 05 Jan 2026 10:00:00 +0000\n\
         Date: {} {} {} {:02}:{:02}:{:02} {}\nFrom: {from}\nTo: {to}",
        random.below(9),
        random.below(250),
        random.number() & 0xffff_ffff,
        1 + random.below(28),
        random.pick(&MONTHS),
        2019 + random.below(7),
        random.below(24),
        random.below(60),
        random.below(60),
        random.pick(&["+0000", "+0100", "-0500", "+0530"]),
    );
    if random.below(3) == 0 {
        text.push_str(",\n ");
        text.push_str(&address(random));
    }
    text.push_str("\nSubject: ");
    text.push_str(&subject(random));
    text.push_str("\nMessage-ID: ");
    text.push_str(&id);
    if index > 3 && random.below(3) == 0 {
        let earlier = index - 1 - u64::try_from(random.below(3)).unwrap_or(0);
        let parent = format!("<{seed:x}.{earlier}@mail.example.net>");
        text.push_str(&format!("\nIn-Reply-To: {parent}\nReferences: {parent}"));
    }
    if random.below(4) == 0 {
        text.push_str("\nList-Id: Announcements <announce.lists.example.org>\nPrecedence: list");
    }
    text.push_str("\nMIME-Version: 1.0\n");
    text
}

fn plain(text: &mut String, random: &mut Seed, size: usize) {
    text.push_str("Content-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8bit\n\n");
    text.push_str(random.pick(&SCRIPTS));
    text.push_str(&paragraphs(random, size.saturating_sub(text.len())));
    text.push_str("-- \nSent from a test\n");
}

fn alternative(text: &mut String, random: &mut Seed, size: usize) {
    let body = paragraphs(random, size / 3);
    let html = body.replace("\n\n", "</p>\n<p>");
    text.push_str(&format!(
        "Content-Type: multipart/alternative; boundary=\"=-alt-1\"\n\nThis is a multi-part message.\n\
         --=-alt-1\nContent-Type: text/plain; charset=us-ascii\n\n{body}\n\
         --=-alt-1\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n\
         <html><body style=3D\"margin:0\"><p>{html}</p><p>Gr=C3=BC=C3=9Fe</p></body></html>\n\n--=-alt-1--\n"
    ));
}

fn attachment(text: &mut String, random: &mut Seed, size: usize) {
    let bytes: Vec<u8> = (0..size / 3)
        .map(|_| random.number().to_le_bytes()[0])
        .collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 76 + 1);
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 76 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    text.push_str(&format!(
        "Content-Type: multipart/mixed;\n boundary=\"------------{:016x}\"\n\n",
        size
    ));
    let boundary = format!("--------------{size:016x}");
    text.push_str(&format!(
        "{boundary}\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
         Le fichier est joint =E0 ce message.\n{}\n\
         {boundary}\nContent-Type: application/pdf; name=\"report {}.pdf\"\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment;\n filename*0=\"report \"; filename*1=\"{}.pdf\"\n\n{lines}\n{boundary}--\n",
        paragraphs(random, size / 3),
        size,
        size
    ));
}

fn encoded(text: &mut String, random: &mut Seed, size: usize) {
    let mut body = paragraphs(random, size / 2);
    body.push_str(random.pick(&SCRIPTS));
    let encoded = base64::engine::general_purpose::STANDARD.encode(body);
    text.push_str(
        "Content-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: base64\n\n",
    );
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 72 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
}

fn forwarded(text: &mut String, random: &mut Seed, size: usize) {
    let inner_subject = sentence(random, 4);
    let inner = paragraphs(random, size / 2);
    text.push_str(&format!(
        "Content-Type: multipart/mixed; boundary=fwd\n\n--fwd\n\n{}\n--fwd\nContent-Type: message/rfc822\n\n\
         From: {}\nTo: {}\nSubject: {inner_subject}\nDate: Fri, 3 May 2024 07:08:09 +0200\n\
         Message-ID: <inner@example.net>\n\n{inner}\n--fwd--\n",
        sentence(random, 9),
        address(random),
        address(random),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_messages() {
        assert_eq!(message(1, 5, 4000), message(1, 5, 4000));
        assert_ne!(message(1, 5, 4000), message(1, 6, 4000));
    }

    #[test]
    fn messages_have_crlf_line_ends_and_about_the_wanted_size() {
        let mut total = 0;
        for index in 0..200 {
            let message = message(7, index, 4000);
            total += message.len();
            let bare = message
                .iter()
                .enumerate()
                .filter(|&(at, &byte)| byte == b'\n' && (at == 0 || message[at - 1] != b'\r'))
                .count();
            assert_eq!(bare, 0);
        }
        assert!((2500..5500).contains(&(total / 200)), "{}", total / 200);
    }
}
