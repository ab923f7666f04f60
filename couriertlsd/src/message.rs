//! What the process that faces the peer and the one that may read files say to each other, over a UNIX socket:
//! a kind, a length (u32, little-endian), as many octets.

use std::io::{self, ErrorKind, Read, Write};

use openssl::dh::Dh;
use openssl::pkey::PKey;
use openssl::x509::X509;

use crate::material::Material;

/// Longest message: a certificate chain with its key.
const LENGTH_MAX: usize = 1 << 20;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// From the peer's side: is there a certificate for this host?
    Host(String),
    /// Certificate chain and key in PEM.
    Material(Vec<u8>),
    /// No such certificate.
    None,
    /// The handshake succeeded: variables for the program.
    Connected(Vec<(String, String)>),
    /// It did not; what was to be said has been said.
    Failed,
}

impl Message {
    /// # Errors
    /// Those of the socket.
    pub(crate) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, payload) = match self {
            Self::Host(name) => (b'H', name.as_bytes().to_vec()),
            Self::Material(pem) => (b'M', pem.clone()),
            Self::None => (b'N', Vec::new()),
            Self::Connected(variables) => {
                let mut payload = Vec::new();
                for (name, value) in variables {
                    payload.extend_from_slice(format!("{name}={value}\0").as_bytes());
                }
                (b'C', payload)
            }
            Self::Failed => (b'F', Vec::new()),
        };
        let length =
            u32::try_from(payload.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&payload);
        to.write_all(&bytes)
    }

    /// # Errors
    /// Those of the socket, `UnexpectedEof` when the other side is gone, `InvalidData` for anything that is not
    /// a message.
    pub(crate) fn receive(from: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; 5];
        from.read_exact(&mut header)?;
        let [kind, length @ ..] = header;
        let invalid = || io::Error::from(ErrorKind::InvalidData);
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| invalid())?;
        if length > LENGTH_MAX {
            return Err(invalid());
        }
        let mut payload = vec![0; length];
        from.read_exact(&mut payload)?;
        match kind {
            b'H' => String::from_utf8(payload)
                .map(Self::Host)
                .map_err(|_| invalid()),
            b'M' => Ok(Self::Material(payload)),
            b'N' => Ok(Self::None),
            b'C' => {
                let text = String::from_utf8(payload).map_err(|_| invalid())?;
                let pair = |line: &str| {
                    let (name, value) = line.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                };
                let variables: Option<Vec<_>> = text.split_terminator('\0').map(pair).collect();
                variables.map(Self::Connected).ok_or_else(invalid)
            }
            b'F' => Ok(Self::Failed),
            _ => Err(invalid()),
        }
    }

    /// A certificate with its key, for the process that may not read files.
    pub(crate) fn of_material(material: &Material) -> Self {
        let mut pem = Vec::new();
        for certificate in &material.chain {
            match certificate.to_pem() {
                Ok(text) => pem.extend_from_slice(&text),
                Err(_unencodable) => return Self::None,
            }
        }
        match material.key.private_key_to_pem_pkcs8() {
            Ok(text) => pem.extend_from_slice(&text),
            Err(_unencodable) => return Self::None,
        }
        if let Some(parameters) = material.dh.as_ref().and_then(|dh| dh.params_to_pem().ok()) {
            pem.extend_from_slice(&parameters);
        }
        Self::Material(pem)
    }

    /// The certificate of a [`Message::Material`].
    pub(crate) fn into_material(self) -> Option<Material> {
        let Self::Material(pem) = self else {
            return None;
        };
        let chain = X509::stack_from_pem(&pem)
            .ok()
            .filter(|chain| !chain.is_empty())?;
        let key = PKey::private_key_from_pem(&pem).ok()?;
        Some(Material {
            chain,
            key,
            dh: Dh::params_from_pem(&pem).ok(),
            path: std::path::PathBuf::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_through() {
        let variables = vec![("TLS_SUBJECT_CN".to_owned(), "a=b".to_owned())];
        for message in [
            Message::Host("mail.example.org".into()),
            Message::None,
            Message::Connected(variables),
            Message::Failed,
        ] {
            let mut bytes = Vec::new();
            message.send(&mut bytes).unwrap();
            assert_eq!(Message::receive(&mut bytes.as_slice()).unwrap(), message);
            for length in 0..bytes.len() {
                assert!(Message::receive(&mut &bytes[..length]).is_err());
            }
        }
    }

    #[test]
    fn rubbish_is_refused_without_allocating_for_it() {
        for bad in [
            b"X\0\0\0\0".as_slice(),
            b"M\xff\xff\xff\xff",
            b"H\x01\0\0\0\xff",
            b"C\x01\0\0\0x",
        ] {
            assert!(Message::receive(&mut &bad[..]).is_err());
        }
    }
}
